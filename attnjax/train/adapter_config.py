"""The settings of adapters, free of jax."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from attnjax.config import require

Kind = Literal["none", "lora", "dora"]


@dataclass(frozen=True)
class AdapterConfig:
    """Changes of low rank that are trained in the place of whole kernels: see `attnjax.train.adapters`."""

    kind: Kind = "none"
    """Training of a sum of low rank (lora), or of that and the length of each column (dora); none: of all."""
    patterns: tuple[str, ...] = ("*.query.kernel", "*.value.kernel")
    """Patterns of names of the kernels that have adapters."""
    rank: int = 8
    """Of the change of a kernel."""
    alpha: float = 16.0
    """The change is scaled by alpha / rank."""
    trained: tuple[str, ...] = ()
    """Patterns of names of parameters that are trained beside adapters, such as head.*; all others stay."""

    def __post_init__(self) -> None:
        kinds = get_args(Kind)
        require(
            self.kind in kinds, f"train.adapter.kind is {self.kind!r}: it must be one of {', '.join(kinds)}"
        )
        whole = isinstance(self.rank, int) and not isinstance(self.rank, bool)
        require(
            whole and self.rank >= 1,
            f"train.adapter.rank is {self.rank!r}: it must be an integer of 1 or more",
        )
        number = isinstance(self.alpha, int | float) and math.isfinite(self.alpha)
        require(
            number and self.alpha > 0, f"train.adapter.alpha is {self.alpha!r}: it must be a number above 0"
        )
        require(
            self.kind == "none" or len(self.patterns) > 0,
            "train.adapter.patterns is empty: expected patterns of kernels, such as *.query.kernel",
        )
        require(
            self.kind != "none" or not self.trained,
            f"train.adapter.trained is {', '.join(self.trained)}: it needs train.adapter.kind lora or dora",
        )


NO_ADAPTER = AdapterConfig()
"""All parameters are trained as they are."""
