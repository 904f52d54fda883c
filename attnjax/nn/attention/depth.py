"""The values that layers of a stack leave for those above them."""

from jaxtyping import Array, Float


class Depth:
    """A place of one call of a stack, where its first layers leave what those above them read.

    A model makes one for each call, so that nothing outlives the call.

    Attributes:
      values: of the first layer that left its values.
      outputs: the embedding and what all layers so far gave, where they are read by attention over depth.
    """

    def __init__(self) -> None:
        self.values: Float[Array, "*B T K V"] | None = None
        self.outputs: list[Float[Array, "*B T D"]] = []
