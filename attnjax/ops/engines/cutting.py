"""The static part of a blockwise call, and the shapes that its arrays have in a block.

By head, a block's queries are [b, N, t, ·], as masks, scores and normalisers see them. By group they are
[b, k, G·t, ·]: one product for all the queries of a key head. One is a reshape of the other.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from attnjax.ops.core.pairs import Block, is_grid
from attnjax.ops.engines.blocking import Axes, Blocked, Blocking, Index, cut, grid_axes
from attnjax.ops.engines.call import Nonfinite, Semantics, clean

# Axes of [B, T, N, ·] and [B, S, K, ·], and their order in a block.
QUERY, KEY, ORDER = Axes(0, 2, queries=1), Axes(0, 2, keys=1), (0, 2, 1, 3)


class Arrays:
    """Takes the rules of a call apart into its arrays, and puts them together from these again."""

    def __init__(self, rules: Semantics, dtype: Any) -> None:
        self.structure, self.dtype = jax.tree.structure(rules), dtype
        self.masked = rules.mask is not None
        self.online = rules.normalizer.route == "online"
        self.grids = [is_grid(x) for x in jax.tree.leaves(rules, is_leaf=is_grid)]
        self._float = [jnp.issubdtype(x.dtype, jnp.inexact) for x in jax.tree.leaves(rules)]

    def params(self, leaves: list[Any]) -> list[Any]:
        """Those of the leaves of the rules that can have a derivative."""
        return [x for x, f in zip(leaves, self._float, strict=True) if f]

    def data(self, leaves: list[Any]) -> list[Any]:
        """The others."""
        return [x for x, f in zip(leaves, self._float, strict=True) if not f]

    def rules(self, params: list[Any], data: list[Any]) -> Semantics:
        """The inverse of `params` and `data`, for whole arrays and for blocks of them."""
        pools = {True: iter(params), False: iter(data)}
        return jax.tree.unflatten(self.structure, [next(pools[f]) for f in self._float])

    def load(self, x: Array) -> Array:
        """Vectors of a block in the softmax's dtype, finite where a mask may rule them out."""
        return clean(x.astype(self.dtype), self.masked)


class Cutting(Arrays):
    """Cuts all the arrays of a call into blocks."""

    def __init__(self, rules: Semantics, blocking: Blocking, dtype: Any) -> None:
        super().__init__(rules, dtype)
        self.blocking, self.shared = blocking, rules.sizes.heads // blocking.key_heads
        nodes = jax.tree.leaves(rules, is_leaf=is_grid)
        self._axes = [grid_axes(x.array) if is_grid(x) else Axes() for x in nodes]

    def cut_params(self, params: list[Array]) -> list[Blocked]:
        """Parameters, after any scalars, in their blocks."""
        axes = self.params(self._axes)
        axes = [Axes()] * (len(params) - len(axes)) + axes
        return [cut(x, a, self.blocking) for x, a in zip(params, axes, strict=True)]

    def cut_data(self, data: list[Array]) -> list[Blocked]:
        """Returns data in blocks."""
        return [cut(x, a, self.blocking) for x, a in zip(data, self.data(self._axes), strict=True)]

    def cut_queries(self, x: Array) -> Blocked:
        """[B, T, N, ·] or [B, T, N] in blocks [b, N, t, ·] or [b, N, t]."""
        return cut(x, QUERY, self.blocking, ORDER[: x.ndim])

    def cut_keys(self, x: Array) -> Blocked:
        """[B, S, K, ·] or [B, S, K] in blocks [b, k, s, ·] or [b, k, s]."""
        return cut(x, KEY, self.blocking, ORDER[: x.ndim])

    def cut_nonfinite(self, nonfinite: Nonfinite) -> tuple[Blocked, Blocked]:
        """For queries as `cut_queries`; for keys [b, k, s], which lie side by side for loops over scores."""
        by_key = jnp.swapaxes(nonfinite.key, 1, 2)
        return self.cut_queries(nonfinite.query), cut(by_key, Axes(0, 1, keys=2), self.blocking)

    def by_group(self, x: Array) -> Array:
        """[b, N, t, ·] or [b, N, t] by group: [b, k, G·t, ·] or [b, k, G·t]."""
        rows = x.shape[1] // self.blocking.groups * x.shape[2]
        return x.reshape(x.shape[0], self.blocking.groups, rows, *x.shape[3:])

    def by_head(self, x: Array) -> Array:
        """[b, k, G·t, ·] or [b, k, G·t] by head: [b, N, t, ·] or [b, N, t]."""
        heads, block_q = self.blocking.groups * self.shared, self.blocking.tiles.block_q
        return x.reshape(x.shape[0], heads, block_q, *x.shape[3:])

    def per_head(self, x: Array) -> Array:
        """[b, k, s] for the heads of each group: [b, N, 1, s]."""
        return jnp.repeat(x, self.shared, axis=1)[:, :, None]

    def pairs(self, rules: Semantics, index: Index, masked: bool) -> tuple[Block, Array | None]:
        """The indices of a block, and which of its pairs attend (None: all)."""
        at = self.blocking.indices(index)
        if not masked:
            return at, None
        attended = self.blocking.inside(at)
        return at, attended if rules.mask is None else attended & rules.mask.evaluate(at)
