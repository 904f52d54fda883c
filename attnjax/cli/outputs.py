"""Files that commands write: looked at before anything is computed."""

import itertools
import os
from pathlib import Path

from attnjax.config import require


def require_output(option: str, path: Path, *suffixes: str) -> None:
    """Raises InputError where no file can be written at a path, or its name ends in none of the suffixes.

    >>> require_output("--out", Path("none/page.html"), ".html", ".htm")
    Traceback (most recent call last):
    attnjax.config.InputError: --out is 'none/page.html': there is no folder 'none'
    """
    given = f"{option} is {str(path)!r}"
    known = not suffixes or path.suffix.lower() in suffixes
    require(known, f"{given}: expected a name that ends in {' or '.join(suffixes)}")
    require(not path.is_dir(), f"{given}: that is a folder")
    require(path.parent.is_dir(), f"{given}: there is no folder {str(path.parent)!r}")
    require(os.access(path.parent, os.W_OK), f"{given}: its folder cannot be written to")


class DistinctNames:
    """Gives names of which no two are alike, in whatever case: one that was given before gets a number.

    Example:
      >>> named = DistinctNames()
      >>> [named(name) for name in ("cat", "dog", "cat", "Cat")]
      ['cat', 'dog', 'cat-2', 'Cat-3']
    """

    def __init__(self) -> None:
        self._given: set[str] = set()

    def __call__(self, name: str) -> str:
        """Returns the name, or with a number behind it one that was not given yet."""
        names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
        found = next(each for each in names if each.casefold() not in self._given)
        self._given.add(found.casefold())
        return found
