"""Settings of logs of interactions. Free of jax and numpy: the command line starts at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from attnjax.config import require, require_seed
from attnjax.data.synthetic.config import require_whole

Split = Literal["leave_one_out", "time"]


@dataclass(frozen=True)
class PlantedLogData:
    """A generated log in which what a user took long ago decides what comes next; see `planted`."""

    users: int = 2000
    """Users of the log."""
    items: int = 400
    """Items of the catalogue."""
    groups: int = 40
    """Groups of items of one kind; half of them have a sequel, a group of the other half."""
    events: int = 48
    """Events of each user."""
    gap: int = 16
    """Events from an item to the first place where one of its group's sequel may follow."""
    far: float = 0.8
    """Probability that the next event is of a sequel, where one is due."""
    near: float = 0.2
    """Probability that any other event is of the group that follows that of the one before it."""
    power: float = 0.4
    """Items are drawn by popularity: that of rank r has a weight of r^-power."""

    def __post_init__(self) -> None:
        require_whole("planted.users", self.users, 2)
        require_whole("planted.groups", self.groups, 4)
        require(self.groups % 2 == 0, f"data.planted.groups is {self.groups}: it must be even")
        require_whole("planted.items", self.items, self.groups, "one of each of data.planted.groups")
        require_whole("planted.gap", self.gap, 1)
        require_whole("planted.events", self.events, self.gap + 2, "more than data.planted.gap + 1")
        for name in ("far", "near"):
            value = getattr(self, name)
            require(0 <= value < 1, f"data.planted.{name} is {value!r}: it must be a number in [0, 1)")
        require(self.power >= 0, f"data.planted.power is {self.power!r}: it must be 0 or more")


@dataclass(frozen=True)
class InteractionData:
    """A log of interactions, and how it is cut into parts."""

    log: Path | None = None
    """u.data, ratings.dat, .csv, .inter (RecBole) or .parquet; None: a log is generated (planted)."""
    titles: Path | None = None
    """Names of items for people: MovieLens' u.item, movies.dat or movies.csv, .item (RecBole) or another
    table with a header; None: ids."""
    split: Split = "leave_one_out"
    """Each user's last event is the test and the one before it validation; or all is cut at two times."""
    holdout: float = 0.1
    """Share of events after the first cut, and after the second, where data.split is time."""
    length: int = 50
    """The most past events that are read."""
    min_weight: float | None = None
    """Events of less weight, such as low ratings, are left out; None: all count."""
    user_events: int = 3
    """Users with fewer events are left out."""
    item_events: int = 1
    """Items with fewer events are left out."""
    exclude_seen: bool = True
    """True if what a user took before is not ranked again."""
    evaluation_users: int | None = None
    """Users of each table row, drawn once; None: all, as figures that are to be compared need it."""
    planted: PlantedLogData = PlantedLogData()
    seed: int = 0
    """Decides the order of batches, and a generated log."""

    def __post_init__(self) -> None:
        for name, least in (("length", 2), ("user_events", 1), ("item_events", 1)):
            require_whole(name, getattr(self, name), least)
        if self.evaluation_users is not None:
            require_whole("evaluation_users", self.evaluation_users, 1)
        splits = get_args(Split)
        require(self.split in splits, f"data.split is {self.split!r}: it must be one of {', '.join(splits)}")
        require(0 < self.holdout < 0.5, f"data.holdout is {self.holdout}: it must lie between 0 and 0.5")
        require_seed("data.seed", self.seed)
