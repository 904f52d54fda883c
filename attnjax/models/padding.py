"""Padding of rows: how many tokens each has, or which they are, or of which of several sequences."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from attnjax.ops import masks
from attnjax.ops.masks import Mask

Present = Int[Array, " B"] | Bool[Array, "B T"] | Int[Array, "B T"]
"""The number of each row's tokens, which stand before its padding, or True where there is one; or, where
several sequences stand in a row, the number from 1 of the one that each token is of, 0 for padding."""


def require_present(name: str, present: Present, rows: tuple[int, ...]) -> None:
    """Raises ValueError for lengths or a mask of other rows than [B, T]."""
    expected = rows if present.ndim == 2 or present.dtype == jnp.bool_ else rows[:1]
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
    return present > 0 if present.ndim == 2 else jnp.arange(tokens) < present[:, None]


def key_mask(present: Present, queries: Int[Array, "B T"] | None = None) -> Mask:
    """Returns the mask by which every query sees the tokens and no padding, of its own sequence alone.

    Args:
      present: of the keys.
      queries: the numbers of the queries' sequences, where these are others than the keys.

    Raises:
      ValueError: there are several sequences of queries, but not of keys.

    Example:
      >>> print(key_mask(jnp.array([[False, True, True]])).draw(2, 3, batch=(1,)))
      · ■ ■
      · ■ ■
    """
    if present.dtype == jnp.bool_:
        seen = masks.dense(present[:, None, None, :])
    elif present.ndim == 2:
        return masks.segments(present if queries is None else queries, present)
    else:
        seen = masks.lengths(key=present)
    if queries is not None:
        raise ValueError(f"segments {list(queries.shape)}: expected the source's too, as its lengths")
    return seen


def places(present: Present | None) -> Int[Array, "B T"] | None:
    """Returns the positions of tokens counted from the first of their sequence; None: they count from 0.

    Example:
      >>> places(jnp.array([[False, True, True]])).tolist()
      [[0, 0, 1]]
      >>> places(jnp.array([[1, 1, 2, 2, 2, 0]])).tolist()
      [[0, 1, 0, 1, 2, 0]]
    """
    if present is None or present.ndim != 2:
        return None
    if present.dtype == jnp.bool_:
        return jnp.maximum(jnp.cumsum(present, axis=-1, dtype=jnp.int32) - 1, 0)
    at = jnp.broadcast_to(jnp.arange(present.shape[1], dtype=jnp.int32), present.shape)
    begins = jnp.diff(present, axis=-1, prepend=-1) != 0
    return at - jax.lax.cummax(jnp.where(begins, at, 0), axis=1)
