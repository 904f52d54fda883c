"""The recurrence of HGRN: each channel is a complex number that turns, forgets and takes in."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.core.ranks import of_rank

# Tokens of a span: spans are read at once, token by token, and then one after another.
SPAN = 64


def hgrn(
    content: Float[Array, "*B T D 2"],
    forget: Float[Array, "*B T D"],
    phase: Float[Array, " D"],
    *,
    initial_state: Float[Array, "*B D 2"] | None = None,
    begins: Bool[Array, "*#B T"] | None = None,
    real: Bool[Array, "*#B T"] | None = None,
) -> tuple[Float[Array, "*B T D 2"], Float[Array, "*B D 2"]]:
    """Returns the states of HGRN after every token, and the last one.

        h_t = f_t e^{iθ} h_{t-1} + (1 - f_t) c_t, of complex numbers in each channel

    Args:
      content: [*B, T, D, 2], real and imaginary parts of c.
      forget: [*B, T, D], f in [0, 1].
      phase: [D], θ in radians.
      initial_state: [*B, D, 2]; None: 0.
      begins: [*#B, T], True for tokens before which the state is 0; None: none of them.
      real: [*#B, T], False for padding, which leaves the state as it was and gives 0; None: all are real.

    Raises:
      ValueError: Shapes do not fit.

    References:
      Qin et al., Hierarchically Gated Recurrent Neural Network for Sequence Modeling, 2023, arXiv:2311.04823.

    Example:
      >>> content = jnp.ones((3, 1, 2)) * jnp.array([1.0, 0.0])
      >>> states, last = hgrn(content, jnp.full((3, 1), 0.5), jnp.array([jnp.pi]))
      >>> print(states[:, 0, 0], last[0, 0])
      [0.5   0.25  0.375] 0.375
    """
    if content.shape != (*forget.shape, 2) or phase.shape != forget.shape[-1:]:
        raise ValueError(
            f"content {list(content.shape)}, forget {list(forget.shape)}, phase {list(phase.shape)}: "
            "expected (*B, T, D, 2), (*B, T, D), (D,)"
        )
    wide = accumulation_dtype(content, forget, phase)
    kept, own = forget.astype(wide), (1 - forget.astype(wide))[..., None] * content.astype(wide)
    turn = jax.lax.complex(jnp.cos(phase.astype(wide)), jnp.sin(phase.astype(wide)))
    if begins is not None:
        kept = jnp.where(begins[..., None], 0, kept)
    moved = kept.astype(turn.dtype) * of_rank(turn, kept.ndim)
    added = jax.lax.complex(own[..., 0], own[..., 1])
    if real is not None:
        moved, added = jnp.where(real[..., None], moved, 1), jnp.where(real[..., None], added, 0)
    start = jnp.zeros((*added.shape[:-2], added.shape[-1]), added.dtype)
    if initial_state is not None:
        start = jax.lax.complex(*(initial_state[..., i].astype(wide) for i in range(2)))
    states = _states(moved, added, start) if added.shape[-2] else added
    last = states[..., -1, :] if states.shape[-2] else start
    if real is not None:
        states = jnp.where(real[..., None], states, 0)
    return _parts(states), _parts(last)


def _parts(x: Any) -> Float[Array, "*B D 2"]:
    return jnp.stack([x.real, x.imag], axis=-1)


def _states(moved: Any, added: Any, start: Any) -> Any:
    """Returns h_t = moved_t h_{t-1} + added_t for all t of [*B, T, D], by two short loops."""
    length = added.shape[-2]
    size = max(1, min(SPAN, length))
    spans = -(-length // size)
    padding = [(0, 0)] * (added.ndim - 2) + [(0, spans * size - length), (0, 0)]

    def cut(x: Array, filling: float) -> Array:
        x = jnp.pad(x, padding, constant_values=filling)
        x = x.reshape(*x.shape[:-2], spans, size, x.shape[-1])
        return jnp.moveaxis(x, (-2, -3), (0, 1))

    def token(before: tuple[Array, Array], these: tuple[Array, Array]) -> Any:
        after = these[0] * before[0], these[0] * before[1] + these[1]
        return after, after

    moved, added = cut(moved, 1), cut(added, 0)
    _, (products, sums) = jax.lax.scan(
        token, (jnp.ones_like(moved[0]), jnp.zeros_like(added[0])), (moved, added)
    )

    def span(state: Array, ends: tuple[Array, Array]) -> Any:
        return ends[0] * state + ends[1], state

    _, starts = jax.lax.scan(span, start, (products[-1], sums[-1]))
    states = jnp.moveaxis(products * starts[None] + sums, (0, 1), (-2, -3))
    return states.reshape(*states.shape[:-3], spans * size, states.shape[-1])[..., :length, :]
