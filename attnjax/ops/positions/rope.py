"""Rotary positions."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.positions.angles import angles, frequencies, integers
from attnjax.ops.positions.scaling import RopeScaling


def rope(
    x: Float[ArrayLike, "*B T N H"],
    positions: Int[ArrayLike, "*#B T"],
    *,
    base: float = 10000.0,
    fraction: float = 1.0,
    scaling: RopeScaling | None = None,
    interleaved: bool = False,
) -> Float[Array, "*B T N H"]:
    """Rotates R = fraction·H entries of each head by their position, pair i by the angle p·base^(-2i/R).

    A pair is (x_i, x_{i+R/2}) in the halves layout (GPT-NeoX, Llama in transformers) and (x_{2i}, x_{2i+1})
    when interleaved (the paper, GPT-J, Meta's Llama): (a, b) -> (a·cos - b·sin, a·sin + b·cos). Entries from
    R on pass through. The product of a rotated query and key depends only on the distance of their positions.

    Args:
      x: queries or keys.
      positions: integers [T], or with leading axes that broadcast to those of x.
      base: of the wavelengths, which run from 2π to 2π·base tokens.
      fraction: share of the head that is rotated, in (0, 1]; fraction·H must be even.
      scaling: other frequencies for longer texts: `LinearScaling`, `DynamicNTKScaling`, `YarnScaling` or
        `Llama3Scaling`.
      interleaved: whether neighbours make a pair, instead of the halves' entries.

    Returns:
      The rotated x in its dtype; angles and rotation are float64 for float64 and float32 otherwise.

    Raises:
      TypeError: positions are not integers, x is not floating, or scaling is none.
      ValueError: shapes, base or fraction do not fit.

    References:
      Su et al., RoFormer: Enhanced Transformer with Rotary Position Embedding, 2021 (arXiv:2104.09864).

    Example:
      >>> from attnjax.ops.positions import LinearScaling
      >>> x = jnp.ones((2, 1, 2))
      >>> print(jnp.array_str(rope(x, jnp.array([0, 1]))[:, 0], precision=3, suppress_small=True))
      [[ 1.     1.   ]
       [-0.301  1.382]]
      >>> scaled = rope(x, jnp.array([0, 2]), scaling=LinearScaling(factor=2.0))
      >>> bool(jnp.allclose(scaled, rope(x, jnp.array([0, 1]))))
      True
    """
    x, positions = jnp.asarray(x), integers("positions", positions)
    rotated = _check_rope(x, positions, base, fraction, scaling)
    compute = accumulation_dtype(x)
    found = scaling.frequencies(rotated, base, positions) if scaling else frequencies(rotated, base)
    turned = of_rank(angles(positions, found, compute)[..., None, :], x.ndim)
    cos, sin = jnp.cos(turned), jnp.sin(turned)
    if scaling and scaling.amplitude != 1:
        cos, sin = cos * scaling.amplitude, sin * scaling.amplitude
    head, rest = x[..., :rotated].astype(compute), x[..., rotated:]
    if interleaved:
        a, b = head[..., 0::2], head[..., 1::2]
        out = jnp.stack([a * cos - b * sin, a * sin + b * cos], axis=-1).reshape(head.shape)
    else:
        a, b = jnp.split(head, 2, axis=-1)
        out = jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)
    return jnp.concatenate([out.astype(x.dtype), rest], axis=-1)


def _check_rope(x: Array, positions: Array, base: float, fraction: float, scaling: RopeScaling | None) -> int:
    """Returns the number of entries to rotate; raises on bad input."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"x has dtype {x.dtype}: expected a floating type")
    if x.ndim < 3:
        raise ValueError(f"x is {list(x.shape)}: expected (*B, T, N, H)")
    tokens, lead = x.shape[:-2], positions.shape[:-1]
    fits = positions.ndim >= 1 and positions.shape[-1] == tokens[-1] and len(lead) <= len(tokens[:-1])
    if not fits or any(p not in (1, b) for p, b in zip(lead[::-1], tokens[-2::-1], strict=False)):
        raise ValueError(
            f"positions is {list(positions.shape)}: expected (T) or (*B, T) of x {list(x.shape)}"
        )
    if base <= 0:
        raise ValueError(f"base is {base}: expected a positive number")
    if scaling is not None and not isinstance(scaling, RopeScaling):
        raise TypeError(
            f"scaling is {scaling!r}: expected a RopeScaling, such as LinearScaling(2.0), or None"
        )
    rotated = round(x.shape[-1] * fraction)
    if not 0 < fraction <= 1 or rotated < 2 or rotated % 2:
        raise ValueError(
            f"fraction is {fraction}: expected a number in (0, 1] that rotates a positive even number of"
            f" entries, not {rotated} of head size {x.shape[-1]}"
        )
    return rotated
