"""The settings of losses and answers of recommendation. Free of jax: the command line starts at once."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from attnjax.config import require, traced

LossKind = Literal["full", "sampled", "bce", "gbce"]


@dataclass(frozen=True)
class ItemLossConfig:
    """The loss of the item that comes next; see `attnjax.ops.items`."""

    kind: LossKind = "full"
    """Softmax over all items, or over those drawn; binary cross-entropy, or calibrated as in gSASRec."""
    negatives: int = 128
    """Items that are drawn for each history, where the loss is not full."""
    calibration: float = traced(0.75)
    """t of gbce, in [0, 1]: 0 is bce, at 1 scores stand for probabilities."""
    chunk: int = 4096
    """Items that the full loss scores at a time."""
    rows_alone: bool = False
    """True if a step updates the embeddings of the items that it reads alone; all others stay as they are."""
    masked: float = 0.2
    """Share of events that are masked, for a model that is not causal."""

    def __post_init__(self) -> None:
        kinds = get_args(LossKind)
        require(self.kind in kinds, f"loss.kind is {self.kind!r}: it must be one of {', '.join(kinds)}")
        for name in ("negatives", "chunk"):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            require(whole and value >= 1, f"loss.{name} is {value!r}: it must be a whole number, 1 or more")
        t = self.calibration
        require(
            isinstance(t, int | float) and math.isfinite(t) and 0 <= t <= 1,
            f"loss.calibration is {t!r}: it must be a number in [0, 1]",
        )
        require(
            not self.rows_alone or self.kind != "full",
            "loss.rows_alone is True: the full loss reads all items; expected loss.kind sampled, bce or gbce",
        )
        require(0 < self.masked < 1, f"loss.masked is {self.masked!r}: it must lie between 0 and 1")


@dataclass(frozen=True)
class RankingConfig:
    """The settings of answers, which `attnjax predict` can change."""

    k: int = 10
    """Items of an answer."""
    exclude_seen: bool = True
    """True if what the user took before is left out."""
    candidates: tuple[str, ...] = ()
    """The items to choose from; none: all."""
    because: int = 3
    """Past items that are named with each answer; 0: none, which is much faster."""

    def __post_init__(self) -> None:
        require(self.k >= 1, f"k is {self.k}: it must be 1 or more")
        require(self.because >= 0, f"because is {self.because}: it must be 0 or more")
