"""Attention to key blocks that are listed at run time: gradients, and that no other block costs anything."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from attnjax.ops.arguments import make_call
from attnjax.ops.engines import chosen
from attnjax.ops.engines.chosen_lanes import ListLanes

# B, T, S, N, K, lists, (size of query blocks, of key blocks), entries, what is gathered: ragged ends, lists
# for each query head, for each key head, for several key heads, and of a number that does not divide theirs.
CASES = [
    (2, 7, 10, 4, 2, 4, (2, 3), 2, "queries"),
    (2, 7, 10, 4, 2, 2, (1, 3), 4, "queries"),
    (1, 9, 9, 6, 2, 3, (1, 2), 3, "keys"),
    (1, 5, 6, 4, 4, 1, (1, 1), 4, "keys"),
]


def inputs(case):
    b, t, s, n, k, lists, (size_q, size_k), entries, _ = case
    draw = np.random.default_rng(0)
    tokens = [3 * draw.normal(size=shape) for shape in ((b, t, n, 8), (b, s, k, 8), (b, s, k, 5))]
    index = draw.integers(-1, -(-s // size_k) + 1, (b, lists, -(-t // size_q), entries))
    return (*map(jnp.asarray, tokens), jnp.asarray(draw.normal(size=(n, t, s))), jnp.ones(n)), index


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=[pytest.mark.slow] * (i in (1, 3))) for i, c in enumerate(CASES)]
)
def test_values_and_gradients_are_the_formula_over_whatever_is_listed(case, x64, monkeypatch):
    """Blocks listed twice, by several queries, for no one, past the end; under masks, scores and a sink."""
    monkeypatch.setattr(chosen, "serves", lambda *_: case[8] == "keys")
    args, index = inputs(case)
    b, t, s, n = case[:4]
    mask = aj.causal(s - t) & aj.chosen_blocks(index, case[6]) & aj.lengths(key=jnp.array([s, 4][:b]))
    table = np.zeros((b, n, t, s), bool)
    for at in np.ndindex(table.shape):
        listed = index[at[0], at[1] // (n // case[5]), at[2] // case[6][0]]
        table[at] = at[3] // case[6][1] in listed
    dense = aj.causal(s - t) & aj.dense(jnp.asarray(table)) & aj.lengths(key=jnp.array([s, 4][:b]))
    assert bool(
        (mask.materialize(t, s, batch=(b,), heads=n) == dense.materialize(t, s, batch=(b,), heads=n)).all()
    )

    def loss(args, name, mask):
        *tokens, bias, sink = args
        options = {"bias": bias, "score": aj.softcap(5.0), "normalizer": aj.softmax(sink), "return_lse": True}
        out, lse = aj.attention(*tokens, mask=mask, implementation=name, **options)
        return jnp.sin(out).sum() + jnp.where(jnp.isneginf(lse), 0, jnp.cos(lse)).sum()

    both = jax.jit(jax.value_and_grad(loss), static_argnums=1)
    got, expected = both(args, "chosen", mask), both(args, "reference", dense)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-12), got, expected)
    assert aj.plan_attention(*args[:3], mask=mask).engine == "chosen"


def test_a_turn_is_taken_for_the_units_that_chose_a_block_and_for_no_others():
    x, index = jnp.ones((1, 64, 2, 4)), np.full((1, 1, 64, 3), -1)
    index[0, 0, :20, 0], index[0, 0, 40:, 1], index[0, 0, 3] = 5, 2, 99

    def turns(index):
        call = make_call(x, x, x, mask=aj.chosen_blocks(index, (1, 8)))
        lanes = ListLanes(call, call.rules, call.rules.mask, 1, 3)
        assert lanes.at_once == 24
        plan, count = jax.jit(lanes.plan)(call.rules.mask.index)
        return plan, int(count)

    plan, count = turns(index)
    assert count == 2
    assert plan.blocks[0, :2].tolist() == [2, 5]
    assert sorted(set(plan.units[0].tolist())) == [*range(3), *range(4, 20), *range(40, 65)]
    assert turns(np.full_like(index, -1))[1] == 0


def test_what_it_cannot_do_is_named():
    x, index = jnp.ones((6, 2, 4)), jnp.zeros((1, 3, 1), int)
    mask = aj.chosen_blocks(index, 2)
    for given, options, reason in (
        (aj.causal(), {}, "the mask joins no chosen_blocks"),
        (mask | aj.causal(), {}, "the mask joins no chosen_blocks"),
        (mask, {"normalizer": aj.entmax()}, "entmax needs whole rows"),
    ):
        with pytest.raises(ValueError, match=reason):
            aj.attention(x, x, x, mask=given, implementation="chosen", **options)
    with pytest.raises(ValueError, match=r"index of blocks has shape \[1, 3, 1\]: expected \['K', 2, 'n'\]"):
        aj.attention(x, x, x, mask=aj.chosen_blocks(index, 3))
    with pytest.raises(TypeError, match="index of blocks is an array of float32: expected integers"):
        aj.chosen_blocks(jnp.zeros((1, 3, 1)), 2)
    assert chosen.refusal(make_call(x, x, x, mask=mask)) is None
