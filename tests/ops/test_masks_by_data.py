"""Masks whose arrays are traced, beside the dense array of the same pattern."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from attnjax.ops.arguments import make_call
from attnjax.ops.engines import blockwise, blockwise_derivatives
from tests.contracts.attention_cases import close, cut_in
from tests.daily import daily

T, HEADS = 24, 2
RNG = np.random.default_rng(0)
ORDER = RNG.permutation(T)
LIMITS = np.array([[3, 5], [20, 9]])

# From arrays [2, …], one for each batch element, to the mask; and the literal array of one element.
CASES = {
    "blocks": (
        lambda on: aj.blocks(on, (4, 6)),
        (RNG.random((2, HEADS, 6, 4)) < 0.4,),
        lambda on: on.repeat(4, 1).repeat(6, 2),
    ),
    "interval": (
        aj.interval,
        (np.stack([ORDER, ORDER[::-1]]) - 5, np.stack([ORDER + 3, ORDER])),
        lambda start, stop: (start[:, None] <= np.arange(T)) & (np.arange(T) < stop[:, None]),
    ),
    "relabelled": (
        lambda p: aj.relabel(aj.sliding_window(3, 0), p) | aj.relabel(aj.block_diagonal(5), p),
        (np.stack([ORDER, np.arange(T) // 2]),),
        lambda p: ((p[:, None] - 3 <= p) & (p <= p[:, None])) | (p[:, None] // 5 == p // 5),
    ),
    "predicate": (
        lambda limit, scale: aj.predicate(
            lambda b, h, i, j, p: p["scale"] * (i - j) < p["limit"][b, h], {"limit": limit, "scale": scale}
        ),
        (LIMITS, np.array([0.5, 0.5])),
        None,
    ),
}


def literal(name):
    _, arrays, one = CASES[name]
    if one is None:
        i, j = np.ogrid[:T, :T]
        return 0.5 * (i - j) < LIMITS[..., None, None]
    return np.stack([np.broadcast_to(one(*x), (HEADS, T, T)) for x in zip(*arrays, strict=True)])


def mask_of(name, arrays):
    return CASES[name][0](*(arrays if name != "predicate" else (arrays[0], arrays[1][0])))


def gradients(mask, run, dtype=jnp.float32):
    x = jax.random.normal(jax.random.key(0), (3, 2, T, HEADS, 4), dtype)
    return jax.grad(lambda x: jnp.sum(jnp.sin(run(*x, mask))))(x)


def reference(query, key, value, mask):
    return aj.attention(query, key, value, mask=mask, implementation="reference")


def small_blocks(query, key, value, mask):
    call = make_call(query, key, value, mask=mask)
    return blockwise.run(call, cut_in(call, 4, 3)).out


@pytest.mark.parametrize(
    ("run", "name"),
    daily(
        [(run, name) for run in (reference, small_blocks) for name in CASES],
        [(small_blocks, name) for name in CASES if name != "interval"],
    ),
)
def test_traced_arrays_give_what_the_dense_array_gives(name, run):
    want = jax.jit(lambda array: gradients(aj.dense(array), reference))(literal(name))
    got = jax.jit(lambda *arrays: gradients(mask_of(name, arrays), run))(*CASES[name][1])
    close(got, want)


@pytest.mark.parametrize("name", daily(["blocks", "interval", "relabelled"], ["interval"]))
def test_they_can_be_mapped_over(name, x64):
    x = jax.random.normal(jax.random.key(0), (2, T, HEADS, 4), jnp.float64)

    @jax.jit
    @jax.vmap
    def mapped(x, *arrays):
        return small_blocks(x[None], x[None], x[None], mask_of(name, arrays))[0]

    expected = jax.jit(lambda x, array: reference(x, x, x, aj.dense(array)))(x, literal(name))
    close(mapped(x, *CASES[name][1]), expected, 1e-12)


@pytest.mark.parametrize("name", CASES)
def test_the_arrays_of_a_mask_are_its_leaves(name):
    leaves = jax.tree.leaves(mask_of(name, CASES[name][1]))
    assert {x.shape for x in leaves} >= {np.shape(x) for x in CASES[name][1][:1]}


def test_blocks_that_are_off_are_computed_neither_forward_nor_backward(monkeypatch):
    computed, pair_scores = [], blockwise.pair_scores

    def counted(products, rules, at, attended):
        jax.debug.callback(lambda: computed.append(attended is None))
        return pair_scores(products, rules, at, attended)

    for half in (blockwise, blockwise_derivatives):
        monkeypatch.setattr(half, "pair_scores", counted)
    x = jax.random.normal(jax.random.key(0), (2, T, HEADS, 4))

    @jax.jit
    def gradient(on):
        def loss(x):
            call = make_call(x, x, x, mask=aj.blocks(on, (4, 6)))
            return jnp.sum(blockwise.run(call, cut_in(call, 4, 6)).out)

        return jax.grad(loss)(x)

    for on in CASES["blocks"][1][0], np.zeros((2, HEADS, 6, 4), bool):
        computed.clear()
        gradient(on).block_until_ready()
        jax.effects_barrier()
        assert computed == [True] * (2 * on.sum()), "and none of them meets the mask"


def test_an_unknown_map_is_cut_at_its_blocks_and_head_by_head():
    seen, x = [], jnp.ones((4096, 8, 4))
    jax.jit(lambda on: seen.append(aj.plan_attention(x, x, x, mask=aj.blocks(on, 128))))(
        np.ones((8, 32, 32), bool)
    )
    assert (seen[0].block_q, seen[0].block_k, seen[0].total) == (128, 128, 8 * 32 * 32)


def test_an_order_that_is_known_stays_known_while_tracing():
    seen, x, order = [], jnp.ones((2048, 1, 4)), np.arange(2048) ^ 1
    jax.jit(
        lambda x: seen.append(aj.plan_attention(x, x, x, mask=aj.relabel(aj.sliding_window(200, 0), order)))
    )(x)
    assert seen[0].visited <= seen[0].total / 4


def test_positions_far_outside_do_not_wrap(x64):
    """Of a type wider or narrower than the positions' own int32."""
    far = jnp.array([2**40, -(2**40), 5], jnp.int64)
    got = aj.interval(jnp.zeros(3, jnp.uint8), far).materialize(3, 6)[0]
    assert got.sum(-1).tolist() == [6, 0, 5]


@pytest.mark.parametrize("stop", [2, 3, 4])
def test_a_tile_is_full_only_where_every_interval_ends_beyond_it(stop):
    mask = aj.interval(np.zeros(6, int), np.full(6, stop))
    got = mask.classify(6, 6, block_q=3, block_k=3)
    assert got.tolist() == aj.dense(mask.materialize(6, 6)).classify(6, 6, block_q=3, block_k=3).tolist()
