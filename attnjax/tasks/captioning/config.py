"""The settings of the loss of captions. Free of jax, so that the command line starts at once."""

import math
from dataclasses import dataclass

from attnjax.config import require
from attnjax.tasks.config import CrossEntropyConfig


@dataclass(frozen=True)
class CaptionLossConfig(CrossEntropyConfig):
    """The cross-entropy of words, and the penalty of attention that leaves parts of an image out."""

    doubly_stochastic: float = 0.0
    """λ of the penalty λ·mean_i (1 - Σ_t α_ti)² over patches i (Show, Attend and Tell); 0: there is none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        value = self.doubly_stochastic
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        require(number and value >= 0, f"loss.doubly_stochastic is {value!r}: it must be a number, 0 or more")
