"""The configs of models that read histories of items, free of jax."""

from dataclasses import dataclass

from attnjax.config import require
from attnjax.mechanisms import read
from attnjax.models.block_config import BlockConfig
from attnjax.models.checks import require_positive
from attnjax.models.encoder_config import require_two_sided


@dataclass(frozen=True)
class RecommenderConfig(BlockConfig):
    """The settings of SASRec and HSTU (causal), or BERT4Rec (not causal)."""

    layers: int = 2
    """Blocks of the model."""
    causal: bool = True
    """True if each event sees those before it and tells the next; False: masked events are told by all."""
    time_buckets: int = 0
    """Buckets of log₂ of the seconds between two events, each with a learned bias of scores; 0: none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive("layers", self.layers)
        require(self.time_buckets >= 0, f"model.time_buckets is {self.time_buckets!r}: it must be 0 or more")
        choices = read(self.mechanism)
        rows = [part.row for choice in choices for part in choice.parts]
        for row in rows:
            require(
                not (self.causal and row.two_sided_only),
                f"model.mechanism is {self.mechanism!r}: {row.name} reads both ways only; expected "
                "model.causal False",
            )
        if not self.causal:
            require_two_sided(self)
        require(
            self.time_buckets == 0 or any(choice.row.has_weights for choice in choices),
            f"model.time_buckets is {self.time_buckets}: it acts on scores, and {self.mechanism} has none",
        )


@dataclass(frozen=True)
class InterestConfig:
    """The settings of a Deep Interest Network."""

    dim: int = 32
    """Width of the vectors of items."""
    unit_hidden: tuple[int, ...] = (36,)
    """Widths of the layers that score a past item beside a candidate."""
    hidden: tuple[int, ...] = (80, 40)
    """Widths of the layers that score the candidate."""

    def __post_init__(self) -> None:
        require_positive("dim", self.dim)
        for name in ("unit_hidden", "hidden"):
            require(len(getattr(self, name)) > 0, f"model.{name} is empty: expected one width or more")
            for width in getattr(self, name):
                require_positive(name, width)
