"""Members that only decay, by a number per head: retention, lightning attention, simple GLA, Mamba-2."""

from typing import Any, Unpack

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attnjax.ops.core.checks import count, floats, whole
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.linear.attention import linear_attention
from attnjax.ops.linear.call import log_decay, segments_and_lengths
from attnjax.ops.linear.members.common import (
    Options,
    blank,
    entrance,
    gate,
    known_arguments,
    not_negative,
    parameter,
    per_head,
)
from attnjax.ops.positions import alibi_slopes


@known_arguments
def retention(query: Any, key: Any, value: Any, *, scale: Any = None, **options: Unpack[Options]) -> Any:
    """S_t = γ_k S_{t-1} + k_t v_tᵀ, γ_k = 1 - 2^(-5-k) for key head k; o_t = scale · S_tᵀ q_t.

    RetNet (Sun et al., 2023), without its rotation of queries and keys, which a layer applies, and its
    normaliser, which cancels in the norm of the output that follows. Arguments, result and errors as in
    `linear_attention`.

    >>> x = jnp.ones((3, 1, 1))
    >>> print(jnp.array_str(retention(x, x, x).ravel(), precision=3))
    [1.    1.969 2.907]
    """
    key = floats("key", key)
    decay = np.log1p(-(2.0 ** (-5.0 - np.arange(_heads(key)))))
    return linear_attention(query, key, value, decay=_constant(decay, key), scale=scale, **options)


@known_arguments
def lightning(
    query: Any,
    key: Any,
    value: Any,
    *,
    layer: int = 0,
    layers: int = 1,
    scale: Any = None,
    **options: Unpack[Options],
) -> Any:
    """S_t = e^{-s} S_{t-1} + k_t v_tᵀ with fixed slopes s per head and layer; o_t = scale · S_tᵀ q_t.

        s = alibi_slopes(K) · (1 - layer / (layers - 1) + 1e-5)

    so that the last layer hardly forgets: Lightning Attention-2 (Qin et al., 2024), slopes as in the
    authors' code. Other arguments, result and errors as in `linear_attention`; ValueError for a layer outside
    [0, layers).

    >>> x = jnp.ones((3, 8, 1))
    >>> print(jnp.array_str(lightning(x, x, x)[:, 0, 0], precision=3))
    [1.    1.607 1.974]
    """
    if not 0 <= whole("layer", layer) < count("layers", layers):
        raise ValueError(f"layer is {layer}: expected at least 0 and below layers = {layers}")
    key = floats("key", key)
    slopes = _constant(alibi_slopes(_heads(key)), key)
    decay = -slopes * (1 - layer / max(layers - 1, 1) + 1e-5)
    return linear_attention(query, key, value, decay=decay, scale=scale, **options)


@known_arguments
def simple_gla(
    query: Any,
    key: Any,
    value: Any,
    *,
    decay: Float[Array, "*B T K"],
    scale: Any = None,
    **options: Unpack[Options],
) -> Any:
    """S_t = e^{g_t} S_{t-1} + k_t v_tᵀ with one decay per head and token; o_t = scale · S_tᵀ q_t.

    `decay` [*B, T, K] is g <= 0. The gated retention of You Only Cache Once (Sun et al., 2024), and Gated
    Linear Attention (Yang et al., 2023) with a gate shared by the channels. Other arguments, result and
    errors as in `linear_attention`.

    >>> x = jnp.ones((3, 1, 1))
    >>> print(simple_gla(x, x, x, decay=jnp.log(jnp.array([[1.0], [0.5], [0.25]]))).ravel())
    [1.    1.5   1.375]
    """
    query, key, value = entrance(query, key, value, options)
    decay = per_head("decay", decay, key, options)
    return linear_attention(query, key, value, decay=decay, scale=scale, **options)


@known_arguments
def mamba2(
    query: Float[Array, "*B T G H"],
    key: Float[Array, "*B T G H"],
    value: Float[Array, "*B T K V"],
    *,
    dt: Float[Array, "*B T K"],
    rate: Float[Array, " K"],
    skip: Float[Array, " K"] | None = None,
    scale: Any = 1.0,
    **options: Unpack[Options],
) -> Any:
    """S_t = e^{dt_t·A} S_{t-1} + dt_t B_t x_tᵀ; y_t = S_tᵀ C_t + D x_t: the state space duality of Mamba-2.

    Its C is `query`, B `key`, x `value`: here the values have more heads than queries and keys, whose G
    groups serve K / G heads each. State [*B, K, H, V].

    Args:
        dt: [*B, T, K], the step, at least 0 (a softplus in the paper).
        rate: [K], A, at most 0.
        skip: [K], D; None = 0.

    Other arguments and errors as in `linear_attention`; ValueError also where K is not divisible by G.
    Transformers are SSMs (Dao & Gu, 2024).

    >>> x, dt = jnp.ones((3, 2, 1)), jnp.ones((3, 2))
    >>> mamba2(x[:, :1], x[:, :1], x, dt=dt, rate=-jnp.log(jnp.array([2.0, 4.0])), skip=jnp.ones(2))[..., 0]
    Array([[2.    , 2.    ],
           [2.5   , 2.25  ],
           [2.75  , 2.3125]], dtype=float32)
    """
    query, key, value = (floats(n, x) for n, x in (("query", query), ("key", key), ("value", value)))
    heads = _check_groups(query, key, value)
    batch, length = value.shape[:-3], value.shape[-3]
    _, lengths = segments_and_lengths(options.get("segment_ids"), options.get("lengths"), batch, length)
    query, key, value = (blank(x, lengths, len(batch)) for x in (query, key, value))
    dt = gate("dt", dt, value.shape[:-1], "*B, T, K", lengths)
    not_negative("dt", dt)
    rate = log_decay("rate", parameter("rate", rate, (heads,), "K"))
    query, key = (jnp.repeat(x, heads // x.shape[-2], axis=-2) for x in (query, key))
    written = dt[..., None] * value
    answer = linear_attention(query, key, written, decay=dt * of_rank(rate, dt.ndim), scale=scale, **options)
    if skip is None:
        return answer
    out, *state = answer if options.get("return_state") else (answer,)
    skip = of_rank(parameter("skip", skip, (heads,), "K")[:, None], value.ndim)
    out = out + (skip * value).astype(out.dtype)
    return (out, *state) if state else out


def _heads(key: Array) -> int:
    """K, or 1 for a key that the recurrence will refuse."""
    return (*key.shape[-2:-1], 1)[0]


def _constant(decay: Any, key: Array) -> Array:
    """Decays that do not turn float32 inputs into a float64 state."""
    return jnp.asarray(decay, jnp.result_type(key, jnp.float32))


def _check_groups(query: Array, key: Array, value: Array) -> int:
    shown = f"query {list(query.shape)}, key {list(key.shape)} (*B, T, G, H), value {list(value.shape)}"
    if min(query.ndim, value.ndim) < 3 or query.shape != key.shape or query.shape[:-2] != value.shape[:-2]:
        raise ValueError(f"{shown} (*B, T, K, V): expected query and key alike, and the same *B and T")
    if query.shape[-2] == 0 or value.shape[-2] % query.shape[-2]:
        raise ValueError(f"{shown} (*B, T, K, V): expected K divisible by G")
    return value.shape[-2]
