"""Rows that cannot be used: all are counted, the first ten named by file and row."""

from collections.abc import Sequence

from attnjax.config import InputError

NAMED = 10
"""Rows that are named."""


class Malformed:
    """The rows of files that cannot be used.

    Example:
      >>> bad = Malformed()
      >>> bad.add("own.csv:3", "time is 'x': expected a number")
      >>> bad.text(20)
      "1 of 20 rows cannot be used: own.csv:3: time is 'x': expected a number"
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, place: str, reason: str) -> None:
        """Takes in a row."""
        self.lines.append(f"{place}: {reason}")

    def text(self, total: int, what: str = "rows cannot be used") -> str:
        """Returns one line with the count and the first rows."""
        return f"{len(self.lines)} of {total} {what}: {named(self.lines)}"

    def require_none(self, total: int, *, skip: bool) -> None:
        """Raises InputError where there are rows, unless they may be left out."""
        if self.lines and not skip:
            raise InputError(f"{self.text(total)} (--data.skip_malformed leaves them out)")


def named(lines: Sequence[str]) -> str:
    """Returns the first ten lines in one, and the number of the others.

    Example:
      >>> named([f"own.csv:{i}" for i in range(12)])[-32:]
      'own.csv:8; own.csv:9; and 2 more'
    """
    more = f"; and {len(lines) - NAMED} more" if len(lines) > NAMED else ""
    return "; ".join(lines[:NAMED]) + more
