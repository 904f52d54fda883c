"""Images as labels: an encoder with the way from a file to what it reads, and the names of its labels."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8


class Recogniser(NamedTuple):
    """A model with the way from an image to its input.

    Attributes:
      model: of images to labels.
      read: the pixels of an image file.
      prepare: what the model reads of pixels.
      names: of the labels.
    """

    model: Any
    read: Callable[[str], UInt8[np.ndarray, "Y X C"]]
    prepare: Callable[[UInt8[np.ndarray, "B Y X C"]], Float32[np.ndarray, "B Y X C"]]
    names: Sequence[str]
