"""The settings of the loss of detection, free of jax."""

from dataclasses import dataclass

from attnjax.config import require


@dataclass(frozen=True)
class SetLossConfig:
    """The weights of what a set of found objects is scored by."""

    l1: float = 5.0
    """Of the distance of boxes."""
    giou: float = 2.0
    """Of 1 minus the generalised intersection over union."""
    nothing: float = 0.1
    """Of a query that should say that there is no object, where 1 is that of one that should find one."""
    every_layer: bool = True
    """True if each layer of the decoder answers and is scored, False for the last one alone."""

    def __post_init__(self) -> None:
        for name in ("l1", "giou"):
            value = getattr(self, name)
            require(value >= 0, f"loss.{name} is {value!r}: it must be 0 or more")
        require(0 < self.nothing <= 1, f"loss.nothing is {self.nothing!r}: it must be above 0 and at most 1")
