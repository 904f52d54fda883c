"""A mask by lists of key blocks that are chosen at run time."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from attnjax.ops.core import checks
from attnjax.ops.core.node import replace, shown, static
from attnjax.ops.core.pairs import Block, Sizes, broadcasts_to, flatten_batch
from attnjax.ops.masks.base import Mask


def chosen_blocks(
    index: Int[Array, "*B K nq n"], size: int | tuple[int, int], *, distinct: bool = False
) -> Mask:
    """Returns the mask by which query i attends key j iff ⌊j/size⌋ is among index[..., ⌊i/size⌋, :].

    The engine "chosen" visits the listed blocks alone: its work and memory grow with their number, forward
    and backward, and not with T·S. Join it by & with causal(), lengths(…) or segments(…), which mask the
    pairs inside the blocks. A choice has no gradient; what it was computed from has one only through gates.

    Args:
      index: integers [*B, K, ⌈T/size⌉, n], which may be traced; batch axes of size 1 are for all elements.
        An entry below 0, or beyond the last block, chooses nothing, and a block listed twice counts once. K
        lists, a divisor of N, serve N/K neighbouring heads each.
      size: of a block, in tokens, or a pair (of queries, of keys); (1, size) chooses for each query, (1, 1)
        single keys.
      distinct: no list names a block twice, which spares the check.

    Returns:
      The mask.

    Raises:
      TypeError: index holds no integers.
      ValueError: size is below 1 or no pair; the index has another shape (when attention is called).

    References:
      Yuan et al., Native Sparse Attention, 2025 (arXiv:2502.11089).
      Lu et al., MoBA: Mixture of Block Attention for Long-Context LLMs, 2025 (arXiv:2502.13189).

    Example:
      >>> print(chosen_blocks(jnp.array([[[0, -1], [1, -1], [0, 2]]]), 2).draw(6))
      ■ ■ · · · ·
      ■ ■ · · · ·
      · · ■ ■ · ·
      · · ■ ■ · ·
      ■ ■ · · ■ ■
      ■ ■ · · ■ ■
    """
    index = checks.positions("index of blocks", index)
    if index.ndim < 3:
        raise ValueError(f"index of blocks has shape {list(index.shape)}: expected (*B, K, ⌈T/size⌉, n)")
    pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2:
        raise ValueError(f"size is {size}: expected tokens of a block, or a pair (of queries, of keys)")
    size_q, size_k = (checks.count("size", n) for n in pair)
    return ChosenBlocks(index, size_q, size_k, 1, bool(distinct))


class ChosenBlocks(Mask):
    """The mask that `chosen_blocks` returns."""

    index: Any
    size_q: int = static()
    size_k: int = static()
    shared: int = static()  # heads that a list serves, known once bound
    distinct: bool = static()

    def bind(self, sizes: Sizes) -> Mask:
        """Returns the mask with its arrays laid out for calls of these sizes."""
        *batch, lists, rows, _ = self.index.shape
        expected = max(1, -(-sizes.queries // self.size_q))
        if (
            not broadcasts_to(tuple(batch), sizes.batch)
            or rows != expected
            or lists == 0
            or sizes.heads % lists
        ):
            fitting = [*sizes.batch, "K", expected, "n"]
            raise ValueError(
                f"index of blocks has shape {list(self.index.shape)}: expected {fitting} "
                f"(*B, K, ⌈T/{self.size_q}⌉, n), K a divisor of N = {sizes.heads}"
            )
        index = jnp.asarray(self.index)
        index = index.reshape((1,) * (len(sizes.batch) - len(batch)) + index.shape)
        return replace(self, index=flatten_batch(index, sizes), shared=sizes.heads // lists)

    def evaluate(self, at: Block) -> Array:
        """Returns which pairs of a block attend."""
        batch, lists, rows, count = self.index.shape
        if count == 0:
            return jnp.zeros((1, 1, 1, 1), bool)
        listed = jnp.asarray(self.index)[
            at.b.clip(0, batch - 1)[..., None],
            (at.h // self.shared).clip(0, lists - 1)[..., None],
            (at.q // self.size_q).clip(0, rows - 1)[..., None],
            np.arange(count),
        ]
        return (listed == (at.k // self.size_k)[..., None]).any(-1)

    def __repr__(self) -> str:
        size = self.size_q if self.size_q == self.size_k else (self.size_q, self.size_k)
        return f"chosen_blocks({shown(self.index)}, {size})"
