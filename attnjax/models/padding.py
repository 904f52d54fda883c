"""Padding of rows: how many tokens each has, or which they are."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from attnjax.ops import masks
from attnjax.ops.masks import Mask

Present = Int[Array, " B"] | Bool[Array, "B T"]
"""The number of each row's tokens, which stand before its padding, or True where there is one."""


def require_present(name: str, present: Present, rows: tuple[int, ...]) -> None:
    """Raises ValueError for lengths or a mask of other rows than [B, T]."""
    expected = rows if present.dtype == jnp.bool_ else rows[:1]
    if present.shape != expected:
        raise ValueError(
            f"{name} {list(present.shape)}: expected {list(expected)} for the tokens {list(rows)}"
        )


def inside(present: Present, tokens: int) -> Bool[Array, "B T"]:
    """Returns True where there is a token.

    Example:
      >>> inside(jnp.array([1]), 2).tolist()
      [[True, False]]
    """
    return present if present.ndim == 2 else jnp.arange(tokens) < present[:, None]


def key_mask(present: Present) -> Mask:
    """Returns the mask by which every query sees the tokens and no padding.

    Example:
      >>> print(key_mask(jnp.array([[False, True, True]])).draw(2, 3, batch=(1,)))
      · ■ ■
      · ■ ■
    """
    return (
        masks.dense(present[:, None, None, :]) if present.dtype == jnp.bool_ else masks.lengths(key=present)
    )


def places(present: Present) -> Int[Array, "B T"] | None:
    """Returns the positions of tokens counted from each row's first one; None where they count from 0.

    Example:
      >>> places(jnp.array([[False, True, True]])).tolist()
      [[0, 0, 1]]
    """
    if present.dtype != jnp.bool_:
        return None
    return jnp.maximum(jnp.cumsum(present, axis=-1, dtype=jnp.int32) - 1, 0)
