"""A stack of encoder blocks."""

from collections.abc import Sequence

from jaxtyping import Array, Float

from attnjax.models.output import Weights
from attnjax.nn import Capture, Depth, Dropout, EncoderBlock, folded
from attnjax.nn.attention.base import MaskLike, ScoreLike
from attnjax.nn.blocks import ReadOut, read_out


def through(
    blocks: Sequence[EncoderBlock],
    norm: ReadOut,
    x: Float[Array, "B T D"],
    *,
    mask: MaskLike | None = None,
    score: ScoreLike | None = None,
    dropout: Dropout | None = None,
    capture: Capture | None = None,
) -> tuple[Float[Array, "B T D"], Weights]:
    """Returns what the blocks make of x, and the weights that the capture asks for ("blocks.0.attention").

    Args:
      blocks: applied one after the other; one may stand at several places.
      norm: of the result; None: there is none.
      x: the input of the first block.
      mask: of every layer's attention.
      score: of every layer's attention.
      dropout: of weights and layers.
      capture: the weights to return.

    Raises:
      ValueError: A capture is out of range.
    """
    if capture is not None:
        capture.require_within("layers", len(blocks))
    captured: Weights = {}
    depth = Depth()
    for i, block in enumerate(blocks):
        x, _, weights = block(
            x,
            mask=mask,
            score=score,
            dropout=folded(dropout, i),
            capture=None if capture is None else capture.layer(i),
            depth=depth,
        )
        captured |= {f"blocks.{i}.{name}": w for name, w in weights.items()}
    return read_out(norm, x, depth), captured
