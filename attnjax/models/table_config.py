"""The config of models of tables, free of jax."""

from dataclasses import dataclass

from attnjax.config import require
from attnjax.models.block_config import BlockConfig, Positions
from attnjax.models.checks import require_positive
from attnjax.models.encoder_config import require_two_sided


@dataclass(frozen=True)
class TableConfig(BlockConfig):
    """The settings of an encoder of the rows of a table, whose tokens are its columns."""

    positions: Positions = "none"
    """Columns have no order, so that there are none."""
    layers: int = 2
    """Blocks of the model."""
    labels: int = 2
    """Labels that the head tells apart."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("layers", "labels"):
            require_positive(name, getattr(self, name))
        require(
            self.positions == "none",
            f"model.positions is {self.positions!r}: columns have no order, expected none",
        )
        require_two_sided(self)
