"""Mamba-3's recurrence: a trapezoidal rule, and rotations by angles that tokens choose."""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.linear.attention import linear_attention


class Mamba3State(NamedTuple):
    """The state of each head after a row's tokens.

    Attributes:
      memory: S.
      angle: of the last token, in radians.
      key, value: of the last token, the key rotated.
    """

    memory: Float[Array, "*B N H V"]
    angle: Float[Array, "*B N P"]
    key: Float[Array, "*B N H"]
    value: Float[Array, "*B N V"]


def mamba3(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T N H"],
    value: Float[Array, "*B T N V"],
    *,
    step: Float[Array, "*B T N"],
    rate: Float[Array, "*B T N"],
    share: Float[Array, "*B T N"],
    angle: Float[Array, "*B T N P"],
    state: Mamba3State,
    segment_ids: Int[Array, "*#B T"] | None = None,
    counts: Int[Array, "*B"] | None = None,
) -> tuple[Float[Array, "*B T N V"], Mamba3State]:
    """Returns the reads of every token, and the state of each row's last one but for its key and value.

        S_t = α_t S_{t-1} + (1-λ_t) Δ_t α_t k_{t-1} v_{t-1}ᵀ + λ_t Δ_t k_t v_tᵀ;  o_t = S_tᵀ q_t
        α = e^{Δ A};  q and k are rotated by φ_t = Σ_{j≤t} Δ_j θ_j, the first 2P entries in pairs

    A token's key and value come in twice, with its own weight and with that of the token after it, which
    decays as the first does: both are one write, of which a token that reads itself sees the first alone.

    Args:
      query: [*B, T, N, H], C in the paper.
      key: [*B, T, N, H], B.
      value: [*B, T, N, V], x.
      step: [*B, T, N], Δ, above 0.
      rate: [*B, T, N], A, below 0.
      share: [*B, T, N], λ in [0, 1]; 1 is Mamba-2's rule.
      angle: [*B, T, N, P], θ, in radians per unit of Δ.
      state: before the first token.
      segment_ids: of each token, as in `linear_attention`.
      counts: [*B], tokens of each row; those after them are padding. None: T.

    References:
      Lahoti et al., Mamba-3: Improved Sequence Modeling using State Space Principles, 2026, arXiv:2603.15569.

    Example:
      >>> x, half = jnp.ones((3, 1, 2)), jnp.full((3, 1), 0.5)
      >>> state = Mamba3State(*(jnp.zeros(shape) for shape in ((1, 2, 2), (1, 1), (1, 2), (1, 2))))
      >>> gates = {"step": half, "rate": -half, "share": half, "angle": x[..., :1]}
      >>> out, _ = mamba3(x, x, x, **gates, state=state)
      >>> out.shape
      (3, 1, 2)
    """
    wide = accumulation_dtype(query, key, value, step, rate, share, angle)
    query, key, step, share, angle = (x.astype(wide) for x in (query, key, step, share, angle))
    tokens, axis = step.shape[-2], step.ndim - 2
    if counts is not None:
        real = (of_rank(jnp.arange(tokens), counts.ndim + 1) < counts[..., None])[..., None]
        step = jnp.where(real, step, 0)
    angles = state.angle[..., None, :, :].astype(wide) + jnp.cumsum(step[..., None] * angle, axis=axis)
    query, key = _rotated(query, angles), _rotated(key, angles)
    # What the token after each adds for it; padding has no step. A token itself does not see that, and where
    # a segment begins nothing is left that could be seen.
    later = (1 - share) * step
    own, more = (
        share * step,
        jnp.concatenate([later[..., 1:, :], jnp.zeros_like(later[..., :1, :])], axis=axis),
    )
    first = later[..., 0, :] if tokens else jnp.zeros_like(state.angle[..., 0], wide)
    memory = state.memory.astype(wide)
    memory += (
        first[..., None, None] * state.key[..., :, None].astype(wide) * state.value[..., None, :].astype(wide)
    )
    out, memory = linear_attention(
        query,
        key,
        (own + more)[..., None] * value.astype(wide),
        decay=step * rate,
        scale=1.0,
        initial_state=memory,
        segment_ids=segment_ids,
        lengths=counts,
        return_state=True,
    )
    itself = (query * key).sum(-1) * more
    out = out - itself[..., None] * value.astype(wide)
    if counts is not None:
        out = jnp.where(real[..., None], out, 0)
    turned = angles[..., -1, :, :] % (2 * math.pi) if tokens else state.angle
    return out.astype(value.dtype), Mamba3State(memory, turned, key, value)


def _rotated(x: Float[Array, "*B T N H"], angles: Float[Array, "*B T N P"]) -> Float[Array, "*B T N H"]:
    """Returns heads whose entries 2p and 2p+1 are turned by angle p, and those after 2P left as they are."""
    pairs = angles.shape[-1]
    turned, rest = x[..., : 2 * pairs], x[..., 2 * pairs :]
    even, odd = turned[..., ::2], turned[..., 1::2]
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    both = jnp.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1)
    return jnp.concatenate([both.reshape(turned.shape), rest], axis=-1)
