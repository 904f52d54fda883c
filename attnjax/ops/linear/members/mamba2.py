"""Mamba-2."""

from typing import Any, Unpack

import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.checks import floats
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.linear.attention import linear_attention
from attnjax.ops.linear.call import log_decay, segments_and_lengths
from attnjax.ops.linear.members.common import (
    Options,
    blank,
    gate,
    known_arguments,
    not_negative,
    parameter,
)


@known_arguments
def mamba2(
    query: Float[Array, "*B T G H"],
    key: Float[Array, "*B T G H"],
    value: Float[Array, "*B T K V"],
    *,
    dt: Float[Array, "*B T K"],
    rate: Float[Array, " K"],
    skip: Float[Array, " K"] | None = None,
    scale: float | Float[Array, ""] = 1.0,
    **options: Unpack[Options],
) -> Any:
    """Mamba-2: the state space duality.

        S_t = e^{dt_t·A} S_{t-1} + dt_t B_t x_tᵀ;  y_t = S_tᵀ C_t + D x_t

    C is `query`, B `key`, x `value`. The values have more heads than queries and keys, whose G groups serve
    K / G heads each. The state is [*B, K, H, V].

    Other arguments, the result and errors are those of `linear_attention`.

    Args:
      query: [*B, T, G, H], floating point, K divisible by G.
      key: [*B, T, G, H], floating point.
      value: [*B, T, K, V], floating point.
      dt: [*B, T, K], the step, at least 0 (a softplus in the paper).
      rate: [K], A, at most 0.
      skip: [K], D; None = 0.
      scale: scalar, of the query.

    Raises:
      ValueError: K is not divisible by G, or a step is negative.

    References:
      Dao & Gu, Transformers are SSMs, 2024 (arXiv:2405.21060).

    Example:
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


def _check_groups(query: Array, key: Array, value: Array) -> int:
    shown = f"query {list(query.shape)}, key {list(key.shape)} (*B, T, G, H), value {list(value.shape)}"
    if min(query.ndim, value.ndim) < 3 or query.shape != key.shape or query.shape[:-2] != value.shape[:-2]:
        raise ValueError(f"{shown} (*B, T, K, V): expected query and key alike, and the same *B and T")
    if query.shape[-2] == 0 or value.shape[-2] % query.shape[-2]:
        raise ValueError(f"{shown} (*B, T, K, V): expected K divisible by G")
    return value.shape[-2]
