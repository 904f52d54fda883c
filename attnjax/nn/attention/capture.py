"""Requests for attention weights and hidden vectors, fixed when the program is compiled."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Array, Float

Indices = tuple[int, ...] | None


@dataclass(frozen=True)
class Capture:
    """A request for the attention weights of some layers, heads and query rows.

    The request is static and hashable. It leaves the engine as it is: the weights of the asked rows are
    computed beside it.

    Attributes:
      layers: the numbers of the layers; None: all.
      heads: the numbers of the heads; None: all.
      rows: the numbers of the query rows; None: all.
      hidden: whether a model returns the vectors of these rows too, after its embedding, after each of these
        layers and after its last norm.

    Raises:
      TypeError: A field is neither None nor a tuple of ints.
      ValueError: A field holds a negative or repeated index.

    Example:
      >>> Capture(layers=(1,)).layer(0) is None
      True
    """

    layers: Indices = None
    heads: Indices = None
    rows: Indices = None
    hidden: bool = False

    def __post_init__(self) -> None:
        for name in ("layers", "heads", "rows"):
            _check(name, getattr(self, name))

    def layer(self, number: int) -> "Capture | None":
        """Returns the request as layer `number` sees it: itself, or None for a layer not asked for."""
        return self if self.layers is None or number in self.layers else None

    def within(self, name: str, size: int) -> "Capture":
        """Returns the request without the indices of the field `name` that are not below size.

        Example:
          >>> Capture(rows=(1, 6)).within("rows", 5)
          Capture(layers=None, heads=None, rows=(1,), hidden=False)
        """
        asked = getattr(self, name)
        changes: dict[str, Any] = {} if asked is None else {name: tuple(i for i in asked if i < size)}
        return replace(self, **changes)

    def of(self, rows: Float[Array, "*B N T"]) -> Float[Array, "*B n t"]:
        """Returns one number for each asked head and row, of numbers for all."""
        if self.heads is not None:
            rows = rows[..., np.array(self.heads, int), :]
        return rows if self.rows is None else rows[..., np.array(self.rows, int)]

    def of_weights(self, weights: Float[Array, "*B N T S"]) -> Float[Array, "*B n t S"]:
        """Returns the weights of the asked heads and rows, of those of all."""
        if self.heads is not None:
            weights = weights[..., np.array(self.heads, int), :, :]
        return weights if self.rows is None else weights[..., np.array(self.rows, int), :]

    def of_tokens(self, x: Float[Array, "*B T D"]) -> Float[Array, "*B t D"]:
        """Returns the vectors of the asked rows."""
        return x if self.rows is None else x[..., np.array(self.rows, int), :]

    def require_within(self, name: str, size: int) -> None:
        """Raises ValueError if the field `name` asks for an index that is not below size."""
        asked = getattr(self, name)
        if asked is not None and any(i >= size for i in asked):
            raise ValueError(f"capture.{name} {asked}: there are {size}, counted from 0")


def _check(name: str, asked: Indices) -> None:
    if asked is None:
        return
    if not isinstance(asked, tuple) or not all(type(i) is int for i in asked):
        raise TypeError(f"capture.{name} {asked!r}: expected None or a tuple of ints")
    if len(set(asked)) < len(asked) or any(i < 0 for i in asked):
        raise ValueError(f"capture.{name} {asked}: expected distinct indices, counted from 0")
