"""Settings of scenes of traffic. Free of jax and numpy."""

from dataclasses import dataclass
from pathlib import Path

from attnjax.config import require, require_seed
from attnjax.data.synthetic.config import require_whole

KINDS = ("following", "merge", "crossing")


@dataclass(frozen=True)
class DrivingData:
    """Scenes that rules drive, or your own: a file with a row for each car at each time.

    >>> DrivingData(kinds=("parking",))
    Traceback (most recent call last):
    attnjax.config.InputError: data.kinds has 'parking': expected following, merge, crossing
    """

    train: Path | None = None
    """A .csv or .parquet file with the columns scene, car, time, x and y in metres; None: scenes by rules."""
    validation: Path | None = None
    """Scenes that choose the best checkpoint; None: held out of `train`."""
    test: Path | None = None
    """Scenes of the final table; None: held out of `train`."""
    holdout: float = 0.15
    """Share of your scenes held out for each part that you do not give."""
    kinds: tuple[str, ...] = KINDS
    """Scenes by rules: the predicted car follows one that brakes, merges before or behind one, or crosses."""
    cars: int = 6
    """Cars of a scene by rules: the predicted one, the one that it minds, and others that it does not."""
    past: int = 6
    """Times that are seen."""
    future: int = 8
    """Times that are predicted."""
    seconds: float = 0.5
    """From one time to the next."""
    evaluation_examples: int = 1024
    """Scenes of each row of the final table, by rules."""
    seed: int = 0
    """Decides all scenes, or the split and the order of the batches."""

    def __post_init__(self) -> None:
        for name, least in (("cars", 2), ("past", 2), ("future", 1), ("evaluation_examples", 1)):
            require_whole(name, getattr(self, name), least)
        require(0 < self.holdout < 0.5, f"data.holdout is {self.holdout}: it must lie between 0 and 0.5")
        require(self.seconds > 0, f"data.seconds is {self.seconds}: it must be above 0")
        require(len(self.kinds) > 0, f"data.kinds is empty: expected some of {', '.join(KINDS)}")
        for kind in self.kinds:
            require(kind in KINDS, f"data.kinds has {kind!r}: expected {', '.join(KINDS)}")
        for name in ("validation", "test"):
            require(
                getattr(self, name) is None or self.train is not None,
                f"data.{name} needs data.train: scenes by rules are drawn for each part",
            )
        require_seed("data.seed", self.seed)
