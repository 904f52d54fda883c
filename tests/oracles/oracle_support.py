"""What the comparisons with peers share: inputs, literal masks, tolerances, and bugs to plant in our call.

A comparison must be able to fail. So each one is repeated with a mutation of OUR call, and has to raise.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import attnjax as aj

ENGINES = ("reference", "blockwise")
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}
BFLOAT16_ROUNDOFF = 2.0**-8


class Sizes(NamedTuple):
    batch: int
    T: int
    S: int
    N: int
    K: int
    H: int
    V: int


SQUARE = Sizes(2, 33, 33, 6, 2, 16, 16)
SIZES = {
    "one query": Sizes(2, 1, 7, 4, 1, 8, 8),
    "more keys, V≠H": Sizes(1, 13, 37, 4, 4, 8, 5),
    "square, grouped": SQUARE,
    "more queries": Sizes(1, 45, 29, 2, 1, 6, 7),
    "several blocks": Sizes(1, 300, 700, 2, 1, 8, 8),
}


class Inputs(NamedTuple):
    query: np.ndarray
    key: np.ndarray
    value: np.ndarray


def draw(sizes: Sizes, seed: int = 0) -> Inputs:
    """Inputs at 3× unit normal: sharper than what a trained model sees."""
    rng = np.random.default_rng(seed)
    b, t, s, n, k, h, v = sizes
    return Inputs(*(3 * rng.normal(size=shape) for shape in ((b, t, n, h), (b, s, k, h), (b, s, k, v))))


def rounded(inputs: Inputs, dtype: str) -> Inputs:
    """The same values after a visit to a dtype, so that a peer in float64 sees what we see."""
    return Inputs(*(np.asarray(jnp.asarray(x, dtype), np.float64) for x in inputs))


def attend(inputs: Inputs, engine: str, dtype: str = "float64", **kwargs: Any) -> Any:
    """Our call under jit; outputs as float64 numpy."""
    with jax.enable_x64(dtype == "float64"):
        call = jax.jit(lambda q, k, v: aj.attention(q, k, v, implementation=engine, **kwargs))
        out = call(*(jnp.asarray(x, dtype) for x in inputs))
        return jax.tree.map(lambda x: np.asarray(x, np.float64), out)


def attend_gradients(
    inputs: Inputs, cotangent: np.ndarray, engine: str, dtype: str = "float64", **kwargs: Any
) -> Inputs:
    """Gradients of sum(out · cotangent) with respect to query, key and value."""
    with jax.enable_x64(dtype == "float64"):

        def loss(q, k, v):
            return jnp.sum(aj.attention(q, k, v, implementation=engine, **kwargs) * cotangent.astype(dtype))

        gradients = jax.jit(jax.grad(loss, (0, 1, 2)))(*(jnp.asarray(x, dtype) for x in inputs))
        return Inputs(*(np.asarray(g, np.float64) for g in gradients))


def assert_close(got: np.ndarray, want: np.ndarray, dtype: str = "float64") -> None:
    """Bounds the largest error by the largest entry, which is what the rounding of a mixture scales with."""
    assert got.shape == want.shape
    atol = TOLERANCE[dtype] * max(1.0, float(np.abs(want).max()))
    np.testing.assert_allclose(got, want, rtol=0, atol=atol)


def assert_rows_close(
    got: np.ndarray, want: np.ndarray, allowed: np.ndarray | None, dtype: str = "float64"
) -> None:
    """assert_close of [B,T,N,V] on rows that attend something; the others, where peers differ, are 0."""
    if allowed is None:
        return assert_close(got, want, dtype)
    b, t, n, _ = got.shape
    alive = np.broadcast_to(allowed, (b, n, t, allowed.shape[-1])).any(-1).transpose(0, 2, 1)
    assert not got[~alive].any()
    assert_close(got[alive], want[alive], dtype)


class Case(NamedTuple):
    """A mask in our algebra and as a literal array that broadcasts to [B,N,T,S]."""

    ours: Callable[[Sizes], Any]
    literal: Callable[[Sizes], np.ndarray]


def indices(sizes: Sizes) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(sizes.T)[:, None], np.arange(sizes.S)[None, :]


def segment_ids(sizes: Sizes) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    keys = np.sort(rng.integers(0, 4, (sizes.batch, sizes.S)), axis=1)
    if sizes.T == sizes.S:
        return keys, keys
    return np.sort(rng.integers(0, 4, (sizes.batch, sizes.T)), axis=1), keys


def key_lengths(sizes: Sizes) -> np.ndarray:
    return np.array([max(1, sizes.S - 3), max(1, sizes.S // 2)])[: sizes.batch]


def query_lengths(sizes: Sizes) -> np.ndarray:
    return np.array([sizes.T, (sizes.T + 1) // 2])[: sizes.batch]


def random_mask(sizes: Sizes) -> np.ndarray:
    mask = np.random.default_rng(6).random((sizes.batch, sizes.N, sizes.T, sizes.S)) < 0.5
    mask[..., sizes.T // 2, :] = False
    return mask


def by_index(formula: Callable[[Sizes, np.ndarray, np.ndarray], np.ndarray]) -> Callable[[Sizes], np.ndarray]:
    """A literal mask from a formula of the sizes, the query's index [T,1] and the key's [1,S]."""
    return lambda sizes: formula(sizes, *indices(sizes))[None, None]


def _segments_literal(sizes: Sizes) -> np.ndarray:
    query_ids, key_ids = segment_ids(sizes)
    return (query_ids[:, :, None] == key_ids[:, None, :])[:, None]


def _lengths_literal(sizes: Sizes) -> np.ndarray:
    i, j = indices(sizes)
    q, k = query_lengths(sizes)[:, None, None], key_lengths(sizes)[:, None, None]
    return ((i < q) & (j < k))[:, None]


CASES = {
    "causal": Case(lambda z: aj.causal(), by_index(lambda z, i, j: j <= i)),
    "causal, bottom-right": Case(
        lambda z: aj.causal(offset=z.S - z.T), by_index(lambda z, i, j: j <= i + z.S - z.T)
    ),
    "window": Case(lambda z: aj.sliding_window(5, 2), by_index(lambda z, i, j: (i - 5 <= j) & (j <= i + 2))),
    "causal window, offset": Case(
        lambda z: aj.causal(offset=3) & aj.sliding_window(4, 0, offset=3),
        by_index(lambda z, i, j: (i + 3 - 4 <= j) & (j <= i + 3)),
    ),
    "prefix": Case(lambda z: aj.causal() | aj.prefix(6), by_index(lambda z, i, j: (j <= i) | (j < 6))),
    "lengths": Case(lambda z: aj.lengths(query_lengths(z), key_lengths(z)), _lengths_literal),
    "segments": Case(lambda z: aj.segments(*segment_ids(z)), _segments_literal),
    "causal segments": Case(
        lambda z: aj.causal() & aj.segments(*segment_ids(z)),
        lambda z: _segments_literal(z) & CASES["causal"].literal(z),
    ),
    "block diagonal": Case(lambda z: aj.block_diagonal(7), by_index(lambda z, i, j: i // 7 == j // 7)),
    "chunked causal": Case(
        lambda z: aj.chunked_causal(6), by_index(lambda z, i, j: (i // 6 == j // 6) & (j <= i))
    ),
    "dilated": Case(
        lambda z: aj.dilated(3) & aj.causal(), by_index(lambda z, i, j: ((i - j) % 3 == 0) & (j <= i))
    ),
    "global and window": Case(
        lambda z: aj.global_tokens(np.array([0, 4])) | aj.sliding_window(2, 2),
        by_index(lambda z, i, j: np.isin(i, [0, 4]) | np.isin(j, [0, 4]) | (abs(i - j) <= 2)),
    ),
    "not window": Case(lambda z: ~aj.sliding_window(3, 3), by_index(lambda z, i, j: abs(i - j) > 3)),
    "dense": Case(lambda z: aj.dense(random_mask(z)), random_mask),
    "predicate": Case(
        lambda z: aj.predicate(lambda b, h, i, j: (i * 7 + j * 3 + h + b) % 5 > 1),
        lambda z: (sum(np.ogrid[: z.batch, : z.N, : 7 * z.T : 7, : 3 * z.S : 3]) % 5) > 1,
    ),
}

Mutation = Callable[[Inputs, dict[str, Any]], tuple[Inputs, dict[str, Any]]]


def _scale(inputs: Inputs, kwargs: dict[str, Any]) -> tuple[Inputs, dict[str, Any]]:
    return inputs, kwargs | {"scale": 1.01 * kwargs.get("scale", inputs.query.shape[-1] ** -0.5)}


# Bugs to plant in our call, each a change of what it is given.
MUTATIONS: dict[str, Mutation] = {
    "wrong scale": _scale,
    "missing mask": lambda inputs, kwargs: (inputs, kwargs | {"mask": None}),
    "offset off by one": lambda inputs, kwargs: (inputs, kwargs | {"mask": aj.causal(offset=1)}),
    "swapped groups": lambda inputs, kwargs: (
        inputs._replace(key=np.flip(inputs.key, 2), value=np.flip(inputs.value, 2)),
        kwargs,
    ),
    "values shifted": lambda inputs, kwargs: (inputs._replace(value=np.roll(inputs.value, 1, 1)), kwargs),
}
