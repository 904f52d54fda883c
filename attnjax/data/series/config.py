"""Settings of series of persons. Free of jax and numpy: the command line starts at once."""

from dataclasses import dataclass
from pathlib import Path

from attnjax.config import require, require_seed
from attnjax.data.synthetic.config import require_whole


@dataclass(frozen=True)
class SeriesData:
    """Persons with a planted deterioration, or your own: files of events, and an outcome for each person.

    >>> SeriesData(horizon=365)
    Traceback (most recent call last):
    attnjax.config.InputError: data.horizon is 365: it needs data.landmark, the time from which it counts
    """

    train: Path | None = None
    """A .csv or .parquet file with the columns person, time, sign and value; a .ts file; a folder of .psv
    files; None: persons with a planted deterioration."""
    validation: Path | None = None
    """Events of persons that choose the best checkpoint; None: held out of `train`."""
    test: Path | None = None
    """Events of the persons of the final table; None: held out of `train`."""
    outcomes: Path | None = None
    """A .csv or .parquet file with a row for each person: the person, the outcome, and further columns."""
    holdout: float = 0.15
    """Share of your persons held out for each part that you do not give."""
    person: str = "person"
    """The column of both files that names the person."""
    event: str = "event"
    """The column of outcomes with the label, which has two values."""
    positive: str | None = None
    """The value whose probability is asked for; None: the last one by its name."""
    end: str | None = None
    """The column of outcomes with the time of the event or, without one, of the end of follow-up."""
    landmark: float | None = None
    """The time up to which events are read; None: to the last one of each person."""
    horizon: float | None = None
    """The time after the landmark within which the event counts; None: whenever it is."""
    group: str | None = None
    """The column of outcomes whose persons stay in one part, such as a family; None: each person alone."""
    left_out: tuple[str, ...] = ()
    """Columns of outcomes that the model must not read, such as what is known only later."""
    categorical: tuple[str, ...] = ()
    """Columns of numbers that are names of classes."""
    subgroups: tuple[str, ...] = ()
    """Columns by which the final table has rows: one for each class, or for each third of the numbers."""
    least_events: int = 2
    """Events of a person up to the landmark; persons with fewer are left out, and counted."""
    max_events: int = 64
    """Events of a person that are read, the last ones up to the landmark."""
    skip_malformed: bool = False
    """True: rows that cannot be used are left out and counted; otherwise the first ten are an error."""
    examples: int = 4000
    """Planted persons of training."""
    evaluation_examples: int = 1000
    """Planted persons of validation, and as many of the test."""
    drift: float = 4.0
    """Size of the planted drift, in standard deviations of the noise."""
    seed: int = 0
    """Decides the planted persons, or the split, and the order of the batches."""

    def __post_init__(self) -> None:
        require(0 < self.holdout < 0.5, f"data.holdout is {self.holdout}: it must lie between 0 and 0.5")
        for name, least in (
            ("least_events", 1), ("max_events", 1), ("examples", 2), ("evaluation_examples", 2)
        ):  # fmt: skip
            require_whole(name, getattr(self, name), least)
        require(
            self.max_events >= self.least_events,
            f"data.max_events is {self.max_events}: expected data.least_events ({self.least_events}) or more",
        )
        require(
            self.horizon is None or self.landmark is not None,
            f"data.horizon is {self.horizon}: it needs data.landmark, the time from which it counts",
        )
        require(
            self.horizon is None or self.horizon > 0, f"data.horizon is {self.horizon}: it must be above 0"
        )
        for name in ("validation", "test", "outcomes"):
            require(
                getattr(self, name) is None or self.train is not None,
                f"data.{name} needs data.train: planted persons are drawn for each part",
            )
        for name in ("left_out", "subgroups"):
            require(
                self.event not in getattr(self, name), f"data.{name} has {self.event!r}: that is data.event"
            )
        require_seed("data.seed", self.seed)
