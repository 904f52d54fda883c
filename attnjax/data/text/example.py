"""One example of a text-to-text task."""

from typing import NamedTuple


class Example(NamedTuple):
    """A source text, its target text, the group that breakdowns count it in ("de/long"), and its place.

    `place` is "file:line" for a user's corpus, for errors that are found after reading.
    """

    source: str
    target: str
    group: str = ""
    place: str = ""
