"""Layers that choose at run time: each against its loop, and what they refuse."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.mechanisms import find, read
from attnjax.nn import make_attention
from attnjax.ops import masks
from attnjax.ops.sparse.blocks import highest, highest_set
from tests.nn.sparse import literal_sparse as literal

T, DIM, HEADS, KEY_HEADS = 11, 8, 4, 2


def layer(mechanism: str, **settings: Any) -> Any:
    """A layer whose parameters are far from their start."""
    dtype = jnp.result_type(float)
    made = make_attention(mechanism, DIM, HEADS, rngs=nnx.Rngs(0), param_dtype=dtype, **settings)
    leaves, tree = jax.tree.flatten(nnx.state(made, nnx.Param))
    moved = [x + 0.5 * jax.random.normal(jax.random.key(i), x.shape, x.dtype) for i, x in enumerate(leaves)]
    nnx.update(made, jax.tree.unflatten(tree, moved))
    return made


def numbers(x: Any) -> np.ndarray:
    return np.asarray(x[...] if isinstance(x, nnx.Variable) else x)


def compression(made: Any) -> Any:
    up, bias, down = (numbers(x) for x in (made.up.kernel, made.up.bias, made.down.kernel))

    def of(block: np.ndarray) -> np.ndarray:
        hidden = np.asarray(jax.nn.gelu((block + numbers(made.positions)).ravel() @ up + bias))
        return hidden @ down + block.mean(0)

    return of


def moba(made: Any, x: Any, *heads: np.ndarray) -> np.ndarray:
    return literal.moba(*heads, size=2, count=2)


def nsa(made: Any, x: Any, *heads: np.ndarray) -> np.ndarray:
    gates = np.asarray(jax.nn.sigmoid(made.gate(x)))
    return literal.nsa(*heads, 2, 4, 3, gates, compression(made.of_keys), compression(made.of_values))


def dsa(made: Any, x: Any, *heads: np.ndarray) -> np.ndarray:
    parts = (made.indexer.query(x), made.indexer.keys(x), made.indexer.gain(x))
    return literal.dsa(*heads, 4, *map(np.asarray, parts))


def lsh(made: Any, x: Any, query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    of = [literal.lsh(heads, np.asarray(made.rotations())) for heads in (query, key)]
    return literal.buckets(query, key, value, 2, *of)


def routing(made: Any, x: Any, query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    of = [literal.nearest(heads, numbers(made.centroids)) for heads in (query, key)]
    # More than a centroid has of the first tokens: those of another must not fill it up.
    return literal.buckets(query, key, value, 5, *of)


def linformer(made: Any, x: Any, *heads: np.ndarray) -> np.ndarray:
    return literal.linformer(*heads, *(numbers(part)[:T] for part in (made.of_keys, made.of_values)))


def nystrom(made: Any, x: Any, *heads: np.ndarray) -> np.ndarray:
    return literal.nystrom(*heads, 4, numbers(made.filter))


CASES = {
    "moba(size=2, count=2)": moba,
    "nsa(size=2, count=4, window=3)": nsa,
    "dsa(count=4, index_heads=3, index_dim=4)": dsa,
    "lsh(size=2, buckets=4, rounds=2)": lsh,
    "routing(size=5, centroids=3)": routing,
    "linformer(rank=3, length=12)": linformer,
    "nystrom(landmarks=3, iterations=30, convolution=3)": nystrom,
}


@pytest.mark.parametrize("mechanism", CASES)
def test_a_layer_is_its_loop(mechanism: str, x64: None) -> None:
    made = layer(mechanism, kv_heads=KEY_HEADS)
    x = 2 * jax.random.normal(jax.random.key(5), (T, DIM), jnp.float64)
    order = None if read(mechanism)[0].row.two_sided_only else masks.causal()
    got = jax.jit(lambda x: made(x, mask=order).out)(x)
    heads = CASES[mechanism](made, x, *(np.asarray(part(x)) for part in (made.query, made.key, made.value)))
    np.testing.assert_allclose(got, made.out(jnp.asarray(heads)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("count", [1, 3, 9])
def test_many_are_chosen_as_few_are(count: int) -> None:
    """Among equal scores, both zeros, numbers below 0 and what is masked."""
    draw = np.random.default_rng(0)
    scores = draw.choice([-jnp.inf, -2.5, -1.0, -0.0, 0.0, 1e-30, 3.0], size=(40, 9)).astype(np.float32)
    # For `top_k` -0 is below 0.
    few = highest(jnp.where(scores == 0, 0, scores), count)
    np.testing.assert_array_equal(np.sort(few), np.sort(highest_set(jnp.asarray(scores), count)))


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: layer("moba")(jnp.ones((3, DIM))), "mask None: moba is causal only, expected causal"),
        (lambda: layer("nsa")(jnp.ones((3, DIM)), jnp.ones((3, DIM))), "context is given: nsa takes none"),
        (
            lambda: layer("moba")(jnp.ones((3, DIM)), mask=masks.causal() & masks.dilated(2)),
            r"mask dilated\(2\): expected causal\(\), lengths.* for moba",
        ),
        (
            lambda: layer("nsa", softcap=3.0)(jnp.ones((3, DIM)), mask=masks.causal()),
            "score is .*: nsa takes none",
        ),
        (
            lambda: layer("linformer(length=4)")(jnp.ones((5, DIM))),
            "x has 5 tokens: linformer was made for at most 4",
        ),
        (
            lambda: layer("nystrom")(jnp.ones((5, DIM)), mask=masks.causal()),
            r"mask causal\(\): nystrom reads one text as a whole, expected lengths",
        ),
        (lambda: layer("nystrom(convolution=2)"), "convolution is 2: expected 0, or an odd number"),
        (lambda: layer("linformer", window=3), r"window is \(2, 2\): linformer takes none"),
        (lambda: layer("linformer").empty_cache((), 4, jnp.float32), "linformer needs all tokens at once"),
        (lambda: layer("moba(count=0)"), "moba: count is 0: expected a whole number, 1 or more"),
        (
            lambda: find("nsa").function(DIM, HEADS, size=0, rngs=nnx.Rngs(0)),
            "size is 0: expected at least 1",
        ),
    ],
)
def test_what_cannot_be_is_named(run: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run()


def test_nsa_keeps_the_vectors_of_blocks_and_compresses_the_one_it_adds_to(x64: None) -> None:
    """Prefills of 5 and 3 tokens with NaN behind, then two at once, over a border of blocks of 2."""
    made = layer("nsa(size=2, count=2, window=2)", kv_heads=KEY_HEADS)
    x = 2 * jax.random.normal(jax.random.key(5), (2, T, DIM), jnp.float64)
    whole, seen = jax.jit(lambda x: made(x, mask=masks.causal()).out)(x), []
    step = jax.jit(lambda x, mask, cache: made(x, mask=mask, cache=cache)[:2])
    cache, counts = made.empty_cache((2,), T, jnp.float64), np.array([5, 3])
    assert cache.block_keys.shape == (2, 6, KEY_HEADS, DIM // HEADS)
    first = x[:, :5].at[1, 3:].set(jnp.nan)
    out, cache = step(first, masks.causal() & masks.lengths(key=counts), cache)
    for row, length in enumerate(counts):
        np.testing.assert_allclose(out[row, :length], whole[row, :length], rtol=1e-9, atol=1e-9)
    for width in (2, 2):
        at = np.arange(2)[:, None], np.asarray(cache.length)[:, None] + np.arange(width)
        out, cache = step(x[at], masks.causal(cache.length), cache)
        np.testing.assert_allclose(out, whole[at], rtol=1e-9, atol=1e-9)
    made.of_keys = lambda tokens: seen.append(tokens.shape) or tokens.mean(-3)
    made(x[:, :1], mask=masks.causal(cache.length), cache=cache)
    assert seen == [(2, 1, 2, KEY_HEADS, DIM // HEADS)]
