"""DeltaProduct: several writes of the delta rule per token, as a sequence of writes."""

from typing import Any, Unpack

import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.checks import floats
from attnjax.ops.linear.call import log_decay, segments_and_lengths
from attnjax.ops.linear.members.common import Options, entrance, gate, known_arguments
from attnjax.ops.linear.members.delta_rule import delta_rule


@known_arguments
def delta_product(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T M K H"],
    value: Float[Array, "*B T M K V"],
    *,
    strength: Float[Array, "*B T M K"],
    decay: Float[Array, "*B T K"] | None = None,
    scale: float | Float[Array, ""] | None = None,
    **options: Unpack[Options],
) -> Any:
    """DeltaProduct: M writes of the delta rule per token, one after the other.

        S ← e^{g_t} S_{t-1}, then for j = 1 … M:  S ← S - β_tj k_tj (k_tjᵀ S) + β_tj k_tj v_tjᵀ
        o_t = scale · Sᵀ q_t reads after the last write

    Keys and values have an axis of M writes after T. The state is [*B, K, H, V]. `chunk_size` counts
    writes.

    Other arguments, the result and errors are those of `linear_attention`.

    Args:
      query: [*B, T, N, H], floating point, N divisible by K.
      key: [*B, T, M, K, H], floating point, each of length 1.
      value: [*B, T, M, K, V], floating point.
      strength: [*B, T, M, K], β, in [0, 1] or up to 2.
      decay: [*B, T, K], g <= 0; None = 0.
      scale: scalar, of the query; None = 1/√H.

    Raises:
      ValueError: a strength is negative, or there are no writes.

    References:
      Siems et al., DeltaProduct, 2025 (arXiv:2502.10297).

    Example:
      >>> x, writes = jnp.ones((2, 1, 1)), jnp.ones((2, 2, 1, 1))
      >>> print(delta_product(x, writes, writes, strength=jnp.full((2, 2, 1), 0.5)).ravel())
      [0.75   0.9375]
    """
    key, value, writes = _writes(query, key, value)
    batch, (length, _, heads) = key.shape[:-4], key.shape[-4:-1]
    segment_ids, lengths = segments_and_lengths(
        options.get("segment_ids"), options.get("lengths"), batch, length
    )
    strength = gate("strength", strength, key.shape[:-1], "*B, T, M, K", lengths)

    def in_line(x: Array) -> Array:
        return x.reshape(*batch, length * writes, *x.shape[len(batch) + 2 :])

    def at(x: Array, write: int) -> Array:
        """Returns x in the given write of each token, zeros in the others."""
        axis = len(batch) + 1
        shape = (*x.shape[:axis], writes, *x.shape[axis:])
        index = (*[slice(None)] * axis, write)
        return in_line(jnp.zeros(shape, x.dtype).at[index].set(x))

    options = options.copy()
    if decay is not None:
        decay = log_decay("decay", gate("decay", decay, (*batch, length, heads), "*B, T, K", lengths))
        decay = at(decay, 0)
    if lengths is not None:
        options["lengths"] = lengths * writes
    if segment_ids is not None:
        options["segment_ids"] = jnp.repeat(jnp.broadcast_to(segment_ids, (*batch, length)), writes, axis=-1)
    parts = entrance(at(floats("query", query), writes - 1), in_line(key), in_line(value), options)
    answer = delta_rule(*parts, in_line(strength), decay, scale, options)
    out, *state = answer if options.get("return_state") else (answer,)
    out = out.reshape(*batch, length, writes, *out.shape[-2:])[..., -1, :, :]
    return (out, *state) if state else out


def _writes(query: Any, key: Any, value: Any) -> tuple[Array, Array, int]:
    query, key, value = (floats(n, x) for n, x in (("query", query), ("key", key), ("value", value)))
    if key.ndim < 4 or key.shape[:-1] != value.shape[:-1] or query.shape[:-2] != key.shape[:-3]:
        raise ValueError(
            f"query {list(query.shape)} (*B, T, N, H), key {list(key.shape)} (*B, T, M, K, H), value "
            f"{list(value.shape)} (*B, T, M, K, V): expected the same *B, T, M and K"
        )
    if key.shape[-3] == 0:
        raise ValueError(f"key has shape {list(key.shape)} (*B, T, M, K, H): expected M of at least 1")
    return key, value, key.shape[-3]
