"""Masks, scores and normalisers that say the same are equal: as static arguments, and inside of modules."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import attnjax as aj
from attnjax.nn import Attention
from attnjax.ops.attention import _run as run_attention
from attnjax.ops.scores import Score

SLOPES, IDS, KEY = jnp.ones(2), jnp.zeros(4, int), jax.random.key(0)
MAP = jnp.ones((2, 2), bool)


def even(b, h, i, j):
    return j % 2 == 0


def is_in(b, h, i, j, ids):
    return ids[i] == ids[j]


def twice(s, b, h, i, j):
    return 2 * s


def times(s, b, h, i, j, c):
    return c * s


# Each pair is built twice; all others differ from it.
NODES = {
    "causal": lambda: aj.causal(),
    "causal, numpy's number": lambda: aj.causal(np.int64(1)),
    "window": lambda: aj.sliding_window(1, 0),
    "lengths": lambda: aj.lengths(key=np.int32(3)),
    "blocks": lambda: aj.chunked_causal(2),
    "tokens": lambda: aj.global_tokens([0, 2]),
    "neighborhood": lambda: aj.neighborhood((2, 2), 1),
    "predicate": lambda: aj.predicate(even),
    "predicate of an array": lambda: aj.predicate(is_in, IDS),
    "map of blocks": lambda: aj.blocks(MAP, 2),
    "interval": lambda: aj.interval(IDS, IDS),
    "relabelled": lambda: aj.relabel(aj.causal(), IDS),
    "composed": lambda: ~(aj.causal() | aj.prefix(1)) & aj.dilated(2),
    "one array": lambda: aj.causal() & aj.segments(IDS),
    "one key": lambda: aj.random_blocks(KEY, 2, 1),
    "softcap": lambda: aj.softcap(2.0),
    "softcap, numpy's number": lambda: aj.softcap(np.float32(3)),
    "score function": lambda: aj.score_fn(twice),
    "score function of an array": lambda: aj.score_fn(twice, SLOPES),
    "signed alibi": lambda: aj.alibi(SLOPES, signed=True),
    "scores": lambda: aj.softcap(3.0) >> aj.alibi(SLOPES),
    "softmax": lambda: aj.softmax(),
    "sink": lambda: aj.softmax(SLOPES),
    "sigmoid": lambda: aj.sigmoid(-1.0),
    "sparsemax": lambda: aj.sparsemax(),
    "entmax": lambda: aj.entmax(1.5),
}


@pytest.mark.parametrize("name", NODES)
def test_what_is_built_alike_is_equal_and_nothing_else(name):
    one, other = NODES[name](), NODES[name]()
    assert one == other
    assert hash(one) == hash(other)
    assert jax.tree.structure(one) == jax.tree.structure(other)
    assert [n for n, make in NODES.items() if make() == one] == [name]


def test_other_arrays_are_another_node():
    assert aj.segments(jnp.zeros(4, int)) != aj.segments(jnp.zeros(4, int))
    lengths = np.zeros(4, int)  # may hold something else by the time of the second call
    node = aj.causal(lengths)
    assert hash(node) == hash(node)
    assert node != aj.causal(lengths)


def test_equal_static_arguments_are_traced_once():
    x, traced = jnp.ones((1, 4, 2, 4)), []

    @functools.partial(jax.jit, static_argnames=("mask", "score", "normalizer"))
    def attend(x, **rules):
        traced.append(rules)
        return aj.attention(x, x, x, **rules)

    def call(window, cap):
        mask, score = aj.sliding_window(window, 0), aj.softcap(cap)
        return attend(x, mask=mask, score=score, normalizer=aj.sigmoid(-1.0))

    np.testing.assert_array_equal(call(1, 2.0), call(1, 2.0))
    assert len(traced) == 1
    assert not np.array_equal(call(2, 2.0), call(1, 2.0))
    assert not np.array_equal(call(1, 1.0), call(1, 2.0))
    assert len(traced) == 3


# One rule, and another value of a number that it declares as data.
NUMBERS = {
    "softcap": lambda x: {"score": aj.softcap(1.0 + x)},
    "score function": lambda x: {"score": aj.score_fn(times, 1.0 + x)},
    "sigmoid": lambda x: {"normalizer": aj.sigmoid(-x)},
    "entmax": lambda x: {"normalizer": aj.entmax(1.25 + x)},
    "dropout": lambda x: {"dropout_rate": 0.25 + x, "dropout_key": KEY},
    "scale": lambda x: {"scale": 1.0 + x},
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_sweep_over_a_number_compiles_once(name):
    x, traced = jnp.arange(8.0).reshape(4, 1, 2) / 4, []

    @jax.jit
    def attend(rules):
        traced.append(rules)
        return aj.attention(x, x, x, **rules)

    one, other = NUMBERS[name](0.0), NUMBERS[name](0.5)
    assert not np.allclose(attend(one), attend(other))
    assert len(traced) == 1
    before = run_attention._cache_size()
    found = [aj.attention(x, x, x, **rules) for rules in (one, other)]
    assert not np.allclose(*found)
    assert run_attention._cache_size() <= before + 1


def test_positions_are_structure_where_they_are_numbers_and_data_where_they_are_arrays():
    leaves = [jax.tree.leaves(make(3)) for make in (aj.causal, aj.prefix, lambda n: aj.alibi(SLOPES, n))]
    assert [len(x) for x in leaves] == [0, 0, 1]
    assert [len(jax.tree.leaves(make(jnp.int32(3)))) for make in (aj.causal, aj.prefix)] == [1, 1]


def test_a_function_in_a_field_of_data_is_named():
    class Doubled(Score):
        fn: object

    with pytest.raises(TypeError, match=r"fn is <function twice.*declare fn by static\(\)"):
        Doubled(twice)


def test_a_mask_with_an_array_can_be_static():
    mask = aj.segments(jnp.array([0, 0, 1]))
    x = jnp.arange(12.0).reshape(3, 1, 4)
    attend = jax.jit(lambda x, mask: aj.attention(x, x, x, mask=mask), static_argnums=1)
    np.testing.assert_allclose(attend(x, mask), aj.attention(x, x, x, mask=mask), rtol=1e-6)


def test_scores_one_after_the_other_pass_through_jit():
    x = jnp.arange(12.0).reshape(3, 1, 4)
    scores = aj.softcap(2.0) >> aj.softcap(jnp.float32(1.0))
    out = jax.jit(lambda x, score: aj.attention(x, x, x, score=score))(x, scores)
    np.testing.assert_allclose(out, aj.attention(x, x, x, score=scores), rtol=1e-6)


class Block(nnx.Module):
    def __init__(self, seed):
        self.attention = Attention(8, 2, rngs=nnx.Rngs(seed))
        self.mask, self.score = aj.causal(), aj.softcap(2.0)
        self.packed = nnx.data(aj.segments(jnp.array([0, 0, seed])))


def test_modules_that_hold_equal_nodes_have_one_structure():
    one, other = Block(0), Block(1)
    assert nnx.graphdef(one) == nnx.graphdef(other)
    assert hash(nnx.graphdef(one)) == hash(nnx.graphdef(other))
    mean = jax.tree.map(lambda x, y: (x + y) / 2, one, other)
    kernels = [block.attention.out.kernel[...] for block in (one, other, mean)]
    np.testing.assert_allclose((kernels[0] + kernels[1]) / 2, kernels[2], rtol=1e-6)
    assert mean.mask == aj.causal()
