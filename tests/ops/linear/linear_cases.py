"""Inputs of the recurrence in every shape, and the recurrence literally, token by token in NumPy."""

from typing import Any

import numpy as np

DECAYS = ("none", "per head", "per token", "per channel")
TERMS = {"nothing": {}, "erased": {"erase": True}, "erased elsewhere": {"erase": True, "write": True}}
LENGTHS = np.array([33, 7])
SEGMENTS = np.repeat(np.array([[0] * 5 + [3] * 20 + [1] * 12]), 2, axis=0)
STATE = np.random.default_rng(7).normal(size=(2, 2, 5, 3))


def assert_close(got, expected):
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def draw(
    decay: str = "none",
    erase: bool = False,
    write: bool = False,
    *,
    sizes: tuple[int, ...] = (2, 37, 2, 2, 5, 3),
    strength: float = 1.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Arguments of `linear_attention` in float64, of `sizes` B, T, K, N/K, H, V."""
    b, t, k, g, h, v = sizes
    rng = np.random.default_rng(seed)
    args = {"query": rng.normal(size=(b, t, k * g, h)), "value": rng.normal(size=(b, t, k, v))}
    unit = rng.normal(size=(b, t, k, h))
    unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
    shape = {"none": None, "per head": (k,), "per token": (b, t, k), "per channel": (b, t, k, h)}[decay]
    kept = np.ones((b, t, k, h))
    if shape is not None:
        args["decay"] = -strength * rng.random(shape)
        kept = np.exp(args["decay"]).reshape(*shape, *[1] * (decay != "per channel"))
    args["key"] = rng.random((b, t, k, 1)) * unit
    if erase:
        args["erase"] = kept * unit
    if write:
        args["write"] = args["key"] + 0.2 * rng.normal(size=unit.shape)
    return args


def literal(
    query: Any,
    key: Any,
    value: Any,
    decay: Any = None,
    erase: Any = None,
    write: Any = None,
    scale: Any = None,
    initial_state: Any = None,
    segment_ids: Any = None,
    lengths: Any = None,
    read: str = "after",
) -> tuple[np.ndarray, np.ndarray]:
    """The loop over batch rows, key heads and tokens, exactly as the formula says."""
    b, t, k, h = key.shape
    group, v = query.shape[2] // k, value.shape[-1]
    out, last = np.zeros((*query.shape[:-1], v)), np.zeros((b, k, h, v))
    decay = np.zeros(key.shape) if decay is None else decay
    decay = np.broadcast_to(decay if decay.ndim == 4 else decay[..., None], key.shape)
    for row, head in np.ndindex(b, k):
        state = np.zeros((h, v)) if initial_state is None else initial_state[row, head]
        for i in range(t if lengths is None else lengths[row]):
            if segment_ids is not None and i and segment_ids[row, i] != segment_ids[row, i - 1]:
                state = np.zeros((h, v))
            at = (row, i, head)
            before = state
            state = np.exp(decay[at])[:, None] * state
            if erase is not None:
                state = state - np.outer(key[at] if write is None else write[at], erase[at] @ before)
            state = state + np.outer(key[at], value[at])
            for n in range(head * group, (head + 1) * group):
                seen = state if read == "after" else before
                out[row, i, n] = (1 / np.sqrt(h) if scale is None else scale) * query[row, i, n] @ seen
        last[row, head] = state
    return out, last
