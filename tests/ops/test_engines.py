"""Choosing an engine, the plan, and the memory of the blockwise one."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from attnjax.ops.arguments import make_call
from attnjax.ops.engines import blockwise
from attnjax.ops.engines.blocking import Blocking
from attnjax.ops.engines.call import nonfinite_of
from attnjax.ops.engines.choose import DENSE_SCORES, FEW_QUERIES
from attnjax.ops.engines.schedule import reach, tile_kinds
from attnjax.ops.engines.tuning import blocking_of

pytestmark = pytest.mark.versions


def tokens(length, heads=1, size=4):
    return jax.random.normal(jax.random.key(0), (length, heads, size))


def sizes_of(jaxpr):
    """The number of elements of every intermediate, in the loops and branches too."""
    for equation in jaxpr.eqns:
        yield from (v.aval.size for v in equation.outvars if hasattr(v.aval, "size"))
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from sizes_of(inner)


def largest(run, length):
    """The largest intermediate of forward and backward with every kind of operand that is not T×S itself."""
    x, ids = tokens(length), jnp.arange(length) // 7
    mask = aj.causal() & aj.segments(ids) | aj.prefix(3) | aj.predicate(lambda b, h, i, j: i == 2 * j)

    def loss(x, bias, gates, rate):
        score = [
            aj.forget_gate(gates),
            aj.score_fn(lambda s, b, h, i, j, r: s - r * j, rate),
            aj.softcap(3.0),
        ]
        options = {"dropout_rate": 0.1, "dropout_key": jax.random.key(1)}
        result = run(make_call(x, x, x, mask=mask, bias=bias, score=score, **options))
        return jnp.sum(result.out) + jnp.sum(result.sums.lse)

    gradient = jax.grad(loss, argnums=(0, 1, 2, 3))
    jaxpr = jax.make_jaxpr(gradient)(x, jnp.ones(length), -jnp.ones((length, 1)), jnp.array(0.1))
    return max(sizes_of(jaxpr.jaxpr))


def test_blockwise_never_builds_an_array_over_all_pairs_forward_or_backward():
    def run(call):
        return blockwise.run(call, blocking_of(call, 16, 16))

    short, long = largest(run, 250), largest(run, 500)
    assert long < 500 * 500 / 10
    assert long <= 2.1 * short


def test_traced_ids_decide_which_blocks_are_computed_without_another_compilation(monkeypatch):
    """And only blocks that hold a masked pair meet the mask."""
    traced, computed, masked = [], [], []
    pair_scores = blockwise.pair_scores

    def counted(products, rules, at, attended):
        jax.debug.callback(lambda: computed.append(1))
        if attended is not None:
            jax.debug.callback(lambda: masked.append(1))
        return pair_scores(products, rules, at, attended)

    monkeypatch.setattr(blockwise, "pair_scores", counted)
    x = tokens(64)

    @jax.jit
    def run(ids):
        traced.append(1)
        call = make_call(x, x, x, mask=aj.segments(ids))
        return blockwise.run(call, blocking_of(call, 8, 8)).out

    for ids in (jnp.arange(64) // 8, jnp.zeros(64, int), jnp.arange(64) // 12):
        computed.clear()
        masked.clear()
        run(ids).block_until_ready()
        jax.effects_barrier()
        kinds = aj.segments(ids).classify(64, 64, block_q=8, block_k=8)
        assert (len(computed), len(masked)) == (np.sum(kinds > 0), np.sum(kinds == 1))
    assert len(traced) == 1


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_a_vector_that_is_not_finite_is_seen_wherever_that_is(bad):
    """Also in heads of usual sizes: XLA's maximum over 64 numbers passes over NaN on CPU."""
    x = jnp.ones((64, 2, 64))
    for place in range(64):
        query, key = x.at[5, 1, place].set(bad), x.at[7, 0, place].set(bad)
        nonfinite = nonfinite_of(make_call(query, key, x, mask=aj.causal()))
        assert np.argwhere(np.isnan(nonfinite.query[0])).tolist() == [[5, 1]]
        assert np.argwhere(np.isnan(nonfinite.key[0])).tolist() == [[7, 0]]


@pytest.mark.parametrize("name", ["reference", "blockwise"])
def test_a_key_that_is_not_finite_reaches_the_query_heads_that_share_it_alone(name):
    query, key = tokens(6, heads=4), tokens(6, heads=2)
    out = aj.attention(query, key.at[2, 1, 0].set(jnp.nan), key, mask=aj.causal(), implementation=name)
    lost = np.isnan(out).all(-1)
    assert lost[2:, 2:].all()
    assert lost.sum() == np.isnan(out).any(-1).sum() == 8


@pytest.mark.optimised
def test_no_loop_copies_a_whole_array_where_blocks_lie_in_it():
    """XLA does where a turn reads what a turn beside it wrote: time would grow with the square of T."""
    x = jnp.ones((2, 256, 4, 8))

    def loss(x):
        call = make_call(x, x, x, mask=aj.sliding_window(32, 0))
        blocking = Blocking(blocking_of(call, 32, 32).tiles, 4, 1, 1, span=2)
        return blockwise.run(call, blocking).out.sum()

    program = jax.jit(jax.grad(loss)).lower(x).compile().as_text()
    loops = [part for part in program.split("\n}\n") if "get-tuple-element" in part and "ENTRY" not in part]
    assert sum(part.count("dynamic-update-slice") for part in loops) > 0
    assert not [
        line for part in loops for line in part.splitlines() if re.search(r"f32\[2,256,4.*\bcopy\(", line)
    ]


def test_the_measure_of_memory_sees_the_pairs_of_the_reference():
    from attnjax.ops.engines import reference

    assert largest(reference.run, 250) >= 250 * 250


def test_blocks_are_empty_full_or_partial_by_the_structure_of_the_mask():
    x = tokens(64)
    call = make_call(x, x, x, mask=aj.block_diagonal(8))
    found = tile_kinds(call.rules.mask, blocking_of(call, 8, 8).tiles)
    np.testing.assert_array_equal(found[0, 0], 2 * np.eye(8))


@pytest.mark.parametrize(
    ("queries", "keys", "engine"),
    [(1023, 1024, "reference"), (1024, 1024, "blockwise"), (FEW_QUERIES - 1, 2**17, "reference")],
)
def test_small_calls_and_decoding_are_dense_and_large_ones_blockwise(queries, keys, engine):
    assert (queries * keys > DENSE_SCORES) == (engine == "blockwise") or queries < FEW_QUERIES
    assert aj.plan_attention(tokens(queries), tokens(keys), tokens(keys)).engine == engine


def test_the_size_of_blocks_fits_the_mask():
    """Wide blocks waste what a narrow window leaves; narrow ones cost more for each pair."""
    x, seen = tokens(8192), []

    def area(mask):
        plan = aj.plan_attention(x, x, x, mask=mask)
        return plan.block_q * plan.block_k

    assert area(aj.sliding_window(128, 0)) < area(aj.causal())
    jax.jit(lambda n: seen.append(area(aj.sliding_window(128, 0) & aj.lengths(key=n))))(8000)
    jax.jit(lambda ids: seen.append(area(aj.causal() & aj.segments(ids))))(jnp.arange(8192) // 512)
    assert seen[0] == area(aj.sliding_window(128, 0))
    assert seen[1] < area(aj.causal())


def test_a_predicate_is_cut_as_the_mask_that_it_means():
    x = tokens(4096)
    window = lambda b, h, i, j: (j <= i) & (i - j <= 256)  # noqa: E731
    plans = [aj.plan_attention(x, x, x, mask=m) for m in (aj.predicate(window), aj.sliding_window(256, 0))]
    assert plans[0] == plans[1]
    assert plans[0].visited < plans[0].total / 6


@pytest.mark.parametrize(("batch", "heads"), [(1, 4), (4, 1)])
def test_heads_and_batch_elements_with_masks_of_their_own_visit_no_blocks_of_each_other(batch, heads):
    """Where that saves much: those that see nearly the same share their blocks."""
    x, n = jnp.ones((batch, 2048, heads, 4)), 2048 // 128
    own = np.random.default_rng(0).random((batch, heads, n, n)) < 0.2
    alike = np.broadcast_to(own[:1, :1], own.shape).copy()
    alike[-1, -1, 0, 0] ^= True

    def plan(some):
        return aj.plan_attention(x, x, x, mask=aj.dense(some.repeat(128, 2).repeat(128, 3)))

    assert (plan(own).visited, plan(own).total) == (own.sum(), own.size)
    assert plan(alike).total == n * n


def test_a_call_takes_the_blocks_of_its_plan_where_arrays_that_are_known_decide(monkeypatch):
    x, some, taken = tokens(2048), np.random.default_rng(0).random((16, 16)) < 0.2, []
    make_schedule = blockwise.make_schedule
    monkeypatch.setattr(
        blockwise, "make_schedule", lambda kinds, cut: taken.append(cut) or make_schedule(kinds, cut)
    )
    mask = aj.dense(some.repeat(128, 0).repeat(128, 1))
    plan = aj.plan_attention(x, x, x, mask=mask)
    aj.attention(x, x, x, mask=mask)
    assert [(cut.tiles.block_q, cut.tiles.block_k) for cut in taken] == [(plan.block_q, plan.block_k)]
    assert (plan.block_q, plan.block_k) == (128, 128)


def test_the_plan_names_the_engine_the_reasons_and_the_blocks():
    x, mask = tokens(2048), aj.causal() & aj.segments(jnp.arange(2048) // 1000)
    plan = aj.plan_attention(x, x, x, mask=mask)
    assert (plan.engine, plan.span) == ("blockwise", 1)
    classes = mask.classify(2048, 2048, block_q=plan.block_q, block_k=plan.block_k)
    assert (plan.visited, plan.total) == (np.sum(classes > 0), classes.size)
    assert plan.full == np.sum(classes == 2)
    assert "preferred for B·N·T·S" in plan.others["reference"]
    assert f"{plan.visited} of {plan.total}" in str(plan)


def test_what_a_row_sees_of_a_narrow_window_is_one_block_even_of_unknown_lengths():
    x, seen = tokens(8192), []

    @jax.jit
    def plan(length):
        seen.append(aj.plan_attention(x, x, x, mask=aj.sliding_window(256, 0) & aj.lengths(key=length)))

    plan(8000)
    whole = aj.plan_attention(x, x, x, mask=aj.sliding_window(256, 0))
    assert whole.span == seen[0].span == -(-256 // whole.block_k) + whole.block_q // whole.block_k
    assert whole.visited == 8192 // whole.block_q * whole.span
    assert f"the {whole.span} of a row as one" in str(whole)


def test_reach_is_the_widest_row_that_a_mask_could_leave():
    x, ids, unknown = tokens(64), jnp.arange(64) // 8, []

    def reached(mask):
        call = make_call(x, x, x, mask=mask)
        return reach(call.rules.mask, blocking_of(call, 8, 4).tiles)

    assert reached(None) == reached(aj.causal()) == 16
    assert reached(aj.sliding_window(0, 0)) == 2
    assert reached(aj.sliding_window(8, 0)) == 4
    assert reached(aj.causal() & ~aj.prefix(64)) == 1
    assert reached(aj.predicate(lambda b, h, i, j: i == j)) == 2
    jax.jit(lambda ids: unknown.append(reached(aj.segments(ids))))(ids)
    jax.jit(lambda ids: unknown.append(reached(aj.segments(ids) & aj.sliding_window(8, 0))))(ids)
    assert unknown == [16, 4]


def test_the_plan_counts_the_blocks_of_batch_elements_that_are_cut_apart():
    x = jnp.ones((2, 4096, 8, 4))
    plan = aj.plan_attention(x, x, x, mask=aj.lengths(key=jnp.array([2048, 4096])))
    rows, columns = 4096 // plan.block_q, 4096 // plan.block_k
    visited = rows * (columns // 2 + columns)
    assert (plan.total, plan.visited, plan.full) == (2 * rows * columns, visited, visited)


def test_a_block_of_several_batch_elements_is_as_full_as_the_least_full():
    x = jnp.ones((2, 256, 1, 4))
    mask = aj.lengths(key=jnp.array([128, 256]))
    plan = aj.plan_attention(x, x, x, mask=mask, implementation="blockwise")
    assert (plan.total, plan.visited, plan.full) == (1, 1, 0)


def test_the_plan_says_why_an_engine_is_left_out():
    x = tokens(1024)
    plan = aj.plan_attention(x, x, x, normalizer=aj.entmax(1.5))
    assert plan.engine == "reference"
    assert "entmax needs whole rows" in plan.others["blockwise"]
    assert plan.total is None


def test_the_plan_leaves_open_what_traced_values_decide():
    x, seen = tokens(1024), []

    @jax.jit
    def run(limit):
        seen.append(aj.plan_attention(x, x, x, mask=aj.lengths(key=limit), implementation="blockwise"))
        return limit

    run(jnp.array(7))
    (plan,) = seen
    assert (plan.visited, plan.total) == (None, 1024 // plan.block_q * (1024 // plan.block_k))
    assert "traced" in str(seen[0])


def test_a_bias_per_pair_gets_its_gradient_and_an_unmasked_call_needs_no_mask():
    x, bias = tokens(8, 2), jnp.ones((2, 8, 8))

    def loss(bias, engine):
        return jnp.sum(jnp.sin(aj.attention(x, x, x, bias=bias, implementation=engine)))

    got, expected = (jax.grad(loss)(bias, e) for e in ("blockwise", "reference"))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
