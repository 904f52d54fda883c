"""The log in memory, or mapped from the disk: events by user, in the order of their times."""

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from attnjax.config import InputError, require


@dataclass(frozen=True)
class InteractionLog:
    """The events of all users, one user's after another's.

    Attributes:
      items: of each event, from 0 to the number of items - 1.
      times: of each event, in seconds; they do not fall within a user.
      starts: where the events of each user begin, and at last where all end.
      user_names: as the file has them.
      item_names: as the file has them.

    Raises:
      InputError: there is one user alone, or a user's times go backwards.

    Example:
      >>> log = InteractionLog(
      ...     np.array([0, 1, 1]), np.array([5.0, 6.0, 2.0]), np.array([0, 2, 3]), ["ann", "bob"], ["x", "y"]
      ... )
      >>> log.of_user(0).tolist()
      [0, 1]
    """

    items: Int[np.ndarray, " E"]
    times: Float[np.ndarray, " E"]
    starts: Int[np.ndarray, " U+1"]
    user_names: list[str]
    item_names: list[str]

    def __post_init__(self) -> None:
        users = len(self.starts) - 1
        require(users > 1, f"the log has {users} user(s): expected 2 or more, to learn from others")
        falls = np.flatnonzero(np.diff(self.times) < 0) + 1
        wrong = falls[~np.isin(falls, self.starts)]
        if len(wrong):
            at = int(wrong[0])
            user = int(np.searchsorted(self.starts, at, side="right")) - 1
            raise InputError(
                f"the times of user {self.user_names[user]!r} go backwards: {self.times[at]:g} after "
                f"{self.times[at - 1]:g}; expected events in the order of their times"
            )

    @property
    def users(self) -> int:
        """The number of users."""
        return len(self.starts) - 1

    @property
    def catalogue(self) -> int:
        """The number of items."""
        return len(self.item_names)

    def of_user(self, user: int) -> Int[np.ndarray, " n"]:
        """Returns the items of a user, the oldest first."""
        return self.items[self.starts[user] : self.starts[user + 1]]

    @cached_property
    def user_numbers(self) -> dict[str, int]:
        """The number of each user by name."""
        return {name: number for number, name in enumerate(self.user_names)}

    @cached_property
    def item_numbers(self) -> dict[str, int]:
        """The number of each item by name."""
        return {name: number for number, name in enumerate(self.item_names)}

    def save(self, folder: Path) -> None:
        """Writes the log into a new folder, which appears whole or not at all."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as place:
            new = Path(place) / folder.name
            new.mkdir()
            for name in _ARRAYS:
                np.save(new / f"{name}.npy", getattr(self, name))
            names = {"users": self.user_names, "items": self.item_names}
            (new / "names.json").write_text(json.dumps(names), encoding="utf-8")
            for file in new.iterdir():  # Before the folder has its name: a crash must not leave it with less.
                with file.open("rb") as written:
                    os.fsync(written.fileno())
            shutil.rmtree(folder, ignore_errors=True)
            new.rename(folder)

    @classmethod
    def load(cls, folder: Path) -> "InteractionLog":
        """Returns the log of a folder; of its arrays only the pages that are read come into memory."""
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
        names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
        return cls(**arrays, user_names=names["users"], item_names=names["items"])


_ARRAYS = ("items", "times", "starts")
