"""A stack of encoder blocks."""

from collections.abc import Sequence

from jaxtyping import Array, Float

from attnjax.models.block_config import RematKeeps
from attnjax.models.output import Captured
from attnjax.nn import Depth, Dropout, EncoderBlock, folded
from attnjax.nn.attention.base import MaskLike, ScoreLike
from attnjax.nn.blocks import ReadOut, read_out
from attnjax.nn.layouts import Layout
from attnjax.nn.recomputed import recomputed


def through(
    blocks: Sequence[EncoderBlock],
    norm: ReadOut,
    x: Float[Array, "B T D"],
    *,
    mask: MaskLike | None = None,
    score: ScoreLike | None = None,
    dropout: Dropout | None = None,
    captured: Captured,
    names: tuple[str, str] = ("embedding", "norm"),
    remat: RematKeeps | None = None,
    layout: Layout = None,
) -> Float[Array, "B T D"]:
    """Returns what the blocks make of x.

    Args:
      blocks: applied one after the other; one may stand at several places.
      norm: of the result; None: there is none.
      x: the input of the first block.
      mask: of every layer's attention.
      score: of every layer's attention.
      dropout: of weights and layers.
      captured: takes in what a capture asks for of the input, the blocks and the norm.
      names: of the input and of the result there.
      remat: what blocks keep whose insides are computed again for gradients; None: all.
      layout: of the tokens, for layers of images and graphs.

    Raises:
      ValueError: A capture is out of range.
    """
    if captured.asked is not None:
        captured.asked.require_within("layers", len(blocks))
    x = captured.add(names[0], x)
    depth = Depth()
    for i, block in enumerate(blocks):
        x, _, weights = recomputed(block, remat)(
            x,
            mask=mask,
            score=score,
            dropout=folded(dropout, i),
            capture=captured.layer(i),
            depth=depth,
            layout=layout,
        )
        captured.add_layer(i, x, weights)
    x = read_out(norm, x, depth)
    return captured.add(names[1], x)
