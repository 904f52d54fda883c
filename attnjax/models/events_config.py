"""The config of models of events at irregular times, free of jax."""

from dataclasses import dataclass
from typing import Literal, get_args

from attnjax.config import require
from attnjax.models.block_config import BlockConfig, Positions
from attnjax.models.checks import require_choice, require_positive
from attnjax.models.encoder_config import require_two_sided

Times = Literal["learned", "sinusoidal", "order", "none"]


@dataclass(frozen=True)
class EventsConfig(BlockConfig):
    """The settings of an encoder of events with times."""

    positions: Positions = "none"
    """Events have times instead."""
    times: Times = "learned"
    """Waves of the time of an event, with frequencies that are learned or fixed; waves of its place in the
    order of events alone; none."""
    waves: int = 16
    """Waves of a time."""
    shortest_period: float = 1.0
    """Period of the fastest wave, in the unit of times; learned ones begin there."""
    longest_period: float = 100.0
    """Period of the slowest wave; times are read in its unit too."""
    layers: int = 2
    """Blocks of the model."""
    labels: int = 2
    """Labels that the head tells apart."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("layers", "labels", "waves"):
            require_positive(name, getattr(self, name))
        require_choice("times", self.times, get_args(Times))
        require(
            0 < self.shortest_period < self.longest_period,
            f"model.shortest_period is {self.shortest_period} and longest_period {self.longest_period}: "
            "expected the first above 0 and below the second",
        )
        require(
            self.positions == "none",
            f"model.positions is {self.positions!r}: events have times, expected none",
        )
        require_two_sided(self)
