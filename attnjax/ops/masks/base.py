"""The base of masks: evaluated on any block of indices, classified per tile, composed by & | ~."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from attnjax.ops.core.node import PytreeNode, library
from attnjax.ops.core.pairs import Block, Sizes, block
from attnjax.ops.masks.tiles import EMPTY, FULL, PARTIAL, Bounds, Tiles


class Mask(PytreeNode):
    """A rule for which query attends which key (True = attend), composed with `&`, `|`, `~`.

    A mask is an immutable pytree. It meets the sizes of a call only in `bind`. `evaluate` gives its value
    on a block of indices and `bounds` what can be said about whole tiles, so that T×S is never built.

    Example:
      >>> import attnjax as aj
      >>> ~(aj.causal() & aj.dilated(2)) | aj.prefix(3)
      ~(causal() & dilated(2)) | prefix(3)
    """

    def bind(self, sizes: Sizes) -> "Mask":
        """The mask for these sizes, its arrays laid over the grid; ValueError when they do not fit."""
        return self

    def evaluate(self, at: Block) -> Bool[Array, "*pairs"]:
        """The value (after `bind`) on a block; broadcasts to [B, N, t, s]."""
        raise NotImplementedError

    def bounds(self, tiles: Tiles) -> Bounds:
        """For each tile: may some pair attend, do all pairs attend? The default knows nothing.

        In numpy where the mask's arrays are numpy's: then it is known while tracing.
        """
        return Bounds(np.array(True), np.array(False))

    def __and__(self, other: "Mask") -> "Mask":
        return And(self, other) if isinstance(other, Mask) else NotImplemented

    def __or__(self, other: "Mask") -> "Mask":
        return Or(self, other) if isinstance(other, Mask) else NotImplemented

    def __invert__(self) -> "Mask":
        return Not(self)

    def materialize(
        self, queries: int, keys: int | None = None, *, batch: tuple[int, ...] = (), heads: int = 1
    ) -> Bool[Array, "*B N T S"]:
        """The whole array: for tests, small cases and drawing."""
        sizes = Sizes(batch, heads, queries, queries if keys is None else keys)
        at = block(sizes, jnp.arange(sizes.queries), jnp.arange(sizes.keys))
        value = self.bind(sizes).evaluate(at)
        flat = (sizes.flat_batch, heads, sizes.queries, sizes.keys)
        return jnp.broadcast_to(value, flat).reshape(sizes.pairs)

    def classify(
        self,
        queries: int,
        keys: int,
        *,
        block_q: int,
        block_k: int,
        batch: tuple[int, ...] = (),
        heads: int = 1,
    ) -> Array:
        """Per tile EMPTY (0), PARTIAL (1) or FULL (2), int8 [B|1, N|1, tiles over T, tiles over S].

        EMPTY and FULL are certain; PARTIAL may also be said of a tile that is one of the two.
        """
        sizes = Sizes(batch, heads, queries, keys)
        tiles = Tiles(sizes, block_q, block_k)
        return jnp.asarray(classes(self.bind(sizes), tiles))

    def draw(
        self,
        queries: int,
        keys: int | None = None,
        *,
        batch: tuple[int, ...] = (),
        heads: int = 1,
        b: int = 0,
        h: int = 0,
    ) -> str:
        """The matrix of batch element `b` (row-major) and head `h` as text: ■ attends, · does not.

        >>> from attnjax.ops.masks import causal
        >>> print(causal().draw(3))
        ■ · ·
        ■ ■ ·
        ■ ■ ■
        """
        whole = np.asarray(self.materialize(queries, keys, batch=batch, heads=heads))
        matrix = whole.reshape(-1, *whole.shape[-3:])[b, h]
        return "\n".join(" ".join("■" if pair else "·" for pair in row) for row in matrix)


def classes(mask: Mask, tiles: Tiles) -> Any:
    """The classes of a bound mask's tiles: int8, [B|1, N|1, nq, nk]; numpy's where the mask's arrays are."""
    some, every = mask.bounds(tiles)
    xp = library(some, every)
    kind = xp.where(every, FULL, xp.where(some, PARTIAL, EMPTY)).astype(np.int8)
    return xp.broadcast_to(kind, xp.broadcast_shapes(kind.shape, (1, 1, tiles.nq, tiles.nk)))


class And(Mask):
    """The mask of the pairs that both masks let attend."""

    left: Any
    right: Any

    def bind(self, sizes: Sizes) -> Mask:
        """Returns the mask with its arrays laid out for calls of these sizes."""
        return And(self.left.bind(sizes), self.right.bind(sizes))

    def evaluate(self, at: Block) -> Array:
        """Returns which pairs of a block attend."""
        return self.left.evaluate(at) & self.right.evaluate(at)

    def bounds(self, tiles: Tiles) -> Bounds:
        """Returns whether some, and whether all, pairs of each tile attend."""
        a, b = self.left.bounds(tiles), self.right.bounds(tiles)
        return Bounds(a.some & b.some, a.every & b.every)

    def __repr__(self) -> str:
        return " & ".join(f"({m!r})" if isinstance(m, Or) else repr(m) for m in (self.left, self.right))


class Or(Mask):
    """The mask of the pairs that either mask lets attend."""

    left: Any
    right: Any

    def bind(self, sizes: Sizes) -> Mask:
        """Returns the mask with its arrays laid out for calls of these sizes."""
        return Or(self.left.bind(sizes), self.right.bind(sizes))

    def evaluate(self, at: Block) -> Array:
        """Returns which pairs of a block attend."""
        return self.left.evaluate(at) | self.right.evaluate(at)

    def bounds(self, tiles: Tiles) -> Bounds:
        """Returns whether some, and whether all, pairs of each tile attend."""
        a, b = self.left.bounds(tiles), self.right.bounds(tiles)
        return Bounds(a.some | b.some, a.every | b.every)

    def __repr__(self) -> str:
        return f"{self.left!r} | {self.right!r}"


class Not(Mask):
    """The mask of the pairs that another one does not let attend."""

    mask: Any

    def bind(self, sizes: Sizes) -> Mask:
        """Returns the mask with its arrays laid out for calls of these sizes."""
        return Not(self.mask.bind(sizes))

    def evaluate(self, at: Block) -> Array:
        """Returns which pairs of a block attend."""
        return ~self.mask.evaluate(at)

    def bounds(self, tiles: Tiles) -> Bounds:
        """Returns whether some, and whether all, pairs of each tile attend."""
        some, every = self.mask.bounds(tiles)
        return Bounds(~every, ~some)

    def __repr__(self) -> str:
        return f"~({self.mask!r})" if isinstance(self.mask, (And, Or)) else f"~{self.mask!r}"
