"""The config of models of agents, free of jax."""

from dataclasses import dataclass

from attnjax.config import require
from attnjax.models.block_config import BlockConfig, Positions
from attnjax.models.checks import require_positive
from attnjax.models.encoder_config import require_two_sided


@dataclass(frozen=True)
class AgentsConfig(BlockConfig):
    """The settings of an encoder of agents that see each other, such as cars."""

    positions: Positions = "none"
    """Agents have no order, so that there are none."""
    layers: int = 2
    """Blocks of the model."""
    modes: int = 3
    """Futures of an agent, each with a probability."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("layers", "modes"):
            require_positive(name, getattr(self, name))
        require(
            self.positions == "none",
            f"model.positions is {self.positions!r}: agents have no order, expected none",
        )
        require_two_sided(self)
