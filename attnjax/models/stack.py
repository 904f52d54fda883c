"""A stack of encoder blocks."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Array, Float

from attnjax.models.block_config import RematKeeps
from attnjax.models.output import Captured
from attnjax.models.scanned import scanned
from attnjax.nn import Depth, Dropout, EncoderBlock, folded
from attnjax.nn.attention.base import MaskLike, ScoreLike
from attnjax.nn.blocks import BlockOutput, ReadOut, read_out
from attnjax.nn.layouts import Layout
from attnjax.nn.recomputed import recomputed
from attnjax.nn.stacked import StackedBlocks
from attnjax.nn.taps import Request


def through(
    blocks: Sequence[EncoderBlock] | StackedBlocks,
    norm: ReadOut,
    x: Float[Array, "B T D"],
    *,
    mask: MaskLike | None = None,
    score: ScoreLike | None = None,
    dropout: Dropout | None = None,
    captured: Captured,
    repeats: int = 1,
    names: tuple[str, str] = ("embedding", "norm"),
    remat: RematKeeps | None = None,
    layout: Layout = None,
) -> Float[Array, "B T D"]:
    """Returns what the blocks make of x.

    Args:
      blocks: applied one after the other; stacked ones are one loop, unless something is captured.
      norm: of the result; None: there is none.
      x: the input of the first block.
      mask: of every layer's attention.
      score: of every layer's attention.
      dropout: of weights and layers.
      captured: takes in what a capture asks for of the input, the blocks and the norm.
      repeats: how often in turn each block is applied.
      names: of the input and of the result there.
      remat: what blocks keep whose insides are computed again for gradients; None: all.
      layout: of the tokens, for layers of images and graphs.

    Raises:
      ValueError: A capture is out of range.
    """
    if captured.asked is not None:
        captured.asked.require_within("layers", len(blocks) * repeats)
    x = captured.add(names[0], x)
    depth = Depth()

    def apply(block: EncoderBlock, x: Array, i: Any, capture: Request = None) -> BlockOutput:
        called = recomputed(block, remat)
        output: BlockOutput = called(
            x,
            mask=mask,
            score=score,
            dropout=folded(dropout, i),
            capture=capture,
            depth=depth,
            layout=layout,
        )
        return output

    if isinstance(blocks, StackedBlocks) and captured.nothing:
        x = scanned(blocks, x, lambda block, x, i: apply(block, x, i).out, repeats)
    else:
        for i, block in enumerate(block for block in blocks for _ in range(repeats)):
            x, _, weights = apply(block, x, i, captured.layer(i))
            captured.add_layer(i, x, weights)
    x = read_out(norm, x, depth)
    return captured.add(names[1], x)
