"""The settings of losses. Free of jax, so that the command line can read them at once."""

import math
from dataclasses import dataclass

from attnjax.config import require, traced


@dataclass(frozen=True)
class CrossEntropyConfig:
    """The loss of a task that predicts tokens: see `attnjax.tasks.losses.smoothed_cross_entropy`."""

    label_smoothing: float = traced(0.0)
    """Share of a label's probability that is spread over all tokens."""

    def __post_init__(self) -> None:
        value = self.label_smoothing
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        require(
            number and 0 <= value < 1,
            f"loss.label_smoothing is {value!r}: it must be a number in [0, 1)",
        )


CROSS_ENTROPY = CrossEntropyConfig()
"""Without label smoothing."""
