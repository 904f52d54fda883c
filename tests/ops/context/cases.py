"""Calls of attention over a mesh axis: every mask of the algebra, every score, every normaliser."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import attnjax as aj
from attnjax.ops import comparisons

B, T, S, N, K, H, V = 2, 32, 48, 4, 2, 4, 3
# Of NumPy, since devices are counted when the first array of JAX is made.
LENGTHS = np.array([[T - 5, S - 9], [T, S]])
IDS = np.array([np.repeat([0, 1, 2, 3], [5, 9, 2, 16]), np.repeat([3, 1], [20, 12])])
KEY_IDS = np.array([np.repeat([0, 1, 2, 3], [7, 9, 12, 20]), np.repeat([1, 3], [30, 18])])
TABLE = np.random.default_rng(7).normal(size=(B, S))


def normal(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(100 + seed), shape)


def tokens(keys: int = S) -> tuple[jax.Array, ...]:
    shapes = ((B, T, N, H), (B, keys, K, H), (B, keys, K, V))
    return tuple(2 * normal(i, *shape) for i, shape in enumerate(shapes))


def _some(seed: int, *shape: int) -> jax.Array:
    return normal(seed, *shape) > 0


def masks() -> dict[str, Any]:
    """Masks of T × S by name; those that "square" has in front are of T × T."""
    table, order = jnp.array(TABLE), jnp.array(np.random.default_rng(0).permutation(T))
    return {
        "causal": aj.causal(16),
        "square causal": aj.causal(),
        "causal by row": aj.causal(jnp.array([3, 16])),
        "window": aj.sliding_window(5, 2, 4),
        "square window": aj.sliding_window(3, 0),
        "dense": aj.dense(_some(3, B, N, T, S)),
        "dense of keys": aj.dense(_some(4, B, 1, 1, S)),
        "array": _some(5, T, S),
        "lengths": aj.lengths(*LENGTHS.T),
        "square segments": aj.segments(IDS),
        "segments": aj.segments(IDS, KEY_IDS),
        "interval": aj.interval(jnp.arange(T) // 2, jnp.arange(T) + 3),
        "blocks": aj.blocks(_some(6, B, N, 8, 12), 4),
        "blocks of rows": aj.blocks(_some(8, 1, 12), (4, 4)),
        "chosen": aj.chosen_blocks(jnp.array([[[0, 3], [1, 2], [5, -1], [4, 0]]] * K)[None], 8),
        "predicate": aj.predicate(lambda b, n, i, j: (table[b, j] > 0) | ((i + n) % 3 == j % 3)),
        "square global": aj.global_tokens([0, 13]) | aj.sliding_window(2, 2),
        "random": aj.random_blocks(jax.random.key(2), 4, 3),
        "square relabelled": aj.relabel(aj.causal() & aj.sliding_window(9, 0), order),
        "square neighborhood": aj.neighborhood((4, 8), 3),
        "block diagonal": aj.block_diagonal(8, 3),
        "chunked causal": aj.chunked_causal(8, 5),
        "dilated": aj.dilated(3) & aj.causal(16),
        "prefix": aj.causal() | aj.prefix(jnp.array([4, 40])),
        "all of it": ~(aj.causal(9) & aj.segments(IDS, KEY_IDS)) | aj.sliding_window(3, 3, 8),
        "nothing": aj.lengths(key=0),
        "each kind": each_kind(),
    }


def each_kind() -> Any:
    """Positions, ids, arrays of pairs, boxes, and a function: each has a path of its own."""
    table = jnp.array(TABLE)
    some = aj.causal(16) & aj.dense(_some(3, B, N, T, S)) | aj.segments(IDS, KEY_IDS)
    return some & (aj.blocks(_some(6, B, N, 8, 12), 4) | aj.predicate(lambda b, n, i, j: table[b, j] > n / 4))


def options() -> dict[str, dict[str, Any]]:
    """Further options by name, of T × S."""
    table, dropout = jnp.array(TABLE), {"dropout_rate": 0.4, "dropout_key": jax.random.key(9)}

    def score(x: Any, b: Any, n: Any, i: Any, j: Any, gain: Any) -> Any:
        return x * gain[n] + jnp.sin(table[b, j]) + 0.1 * (i - j)

    return {
        "dropout": dropout | {"mask": aj.causal(16)},
        "alibi": {"score": aj.alibi(normal(20, N) ** 2, 4), "mask": aj.causal(16)},
        "relative": {"score": aj.relative_bias(normal(21, 8, N), max_distance=20)},
        "softcap": {"score": aj.softcap(3.0) >> aj.adaptive_span(normal(22, N) ** 2 * 9, 8.0, 3)},
        "score_fn": {"score": aj.score_fn(score, normal(23, N)), "mask": aj.sliding_window(9, 9)},
        "forget": {"score": aj.forget_gate(-(normal(24, B, S, N) ** 2), 4), "mask": aj.causal(4)},
        "bias": {"bias": normal(25, N, T, S), "mask": aj.lengths(*LENGTHS.T)},
        "bias of keys": {"bias": normal(26, B, 1, 1, S)},
        "sink": {"normalizer": aj.softmax(normal(27, N)), "mask": aj.causal(3)} | dropout,
        "sigmoid": {"normalizer": aj.sigmoid(normal(28, N)), "mask": aj.causal(16)} | dropout,
        "cosine": {"comparison": comparisons.cosine(temperature=0.3), "mask": aj.causal(16)},
        "rbf": {"comparison": comparisons.rbf(0.2), "mask": aj.causal(16)},
        "far": {"scale": 1e6, "mask": aj.causal(16)},
        "each kind": {
            "score": aj.forget_gate(-(normal(24, B, S, N) ** 2), 4) >> aj.score_fn(score, normal(23, N)),
            "normalizer": aj.softmax(normal(27, N)),
            "bias": normal(25, N, T, S),
            "mask": each_kind(),
        }
        | dropout,
    }


def whole_rows() -> dict[str, dict[str, Any]]:
    """Options whose normaliser needs whole rows: no ring can do them."""
    heads = jnp.eye(N) + 0.1 * normal(30, N, N)
    return {
        "sparsemax": {"normalizer": aj.sparsemax(), "mask": aj.causal(16)},
        "entmax": {"normalizer": aj.entmax(1.5), "mask": aj.sliding_window(9, 9)},
        "stick breaking": {"normalizer": aj.stick_breaking(16), "mask": aj.causal(16)},
        "talking heads": {"normalizer": aj.talking_heads(heads, heads.T), "mask": aj.causal(16)},
    }
