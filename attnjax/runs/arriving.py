"""Inputs in pieces, which may arrive one after another."""

import itertools
import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple, TypeVar

PIECE = 64
"""Inputs that are computed together: answers come early, and few shapes compile."""
WAIT = 0.01
"""Seconds that an input which has arrived waits for others."""

T = TypeVar("T")


class _End(NamedTuple):
    """Stands behind the last item; with what the iterator raised there."""

    error: BaseException | None


def pieces(items: Iterator[T], *, arriving: bool = False) -> Iterator[list[T]]:
    """Yields items, `PIECE` of them together; of those that are arriving what is there, at least one.

    What the iterator raises is raised after the items before it.

    Args:
      items: that are read, by another thread where they are arriving.
      arriving: True if each may take a while to come, as lines of a pipe do.

    Example:
      >>> [len(piece) for piece in pieces(iter(range(100)))]
      [64, 36]
    """
    if not arriving:
        while piece := list(itertools.islice(items, PIECE)):
            yield piece
        return
    came: queue.Queue[T | _End] = queue.Queue(2 * PIECE)
    threading.Thread(target=_read, args=(items, came), daemon=True).start()
    end: _End | None = None
    while end is None:
        piece = []
        with suppress(queue.Empty):
            while len(piece) < PIECE and end is None:
                item = came.get(timeout=WAIT if piece else None)
                if isinstance(item, _End):
                    end = item
                else:
                    piece.append(item)
        if piece:
            yield piece
    if end.error is not None:
        raise end.error


def _read(items: Iterator[T], came: "queue.Queue[T | _End]") -> None:
    error: BaseException | None = None
    try:
        for item in items:
            came.put(item)
    except BaseException as raised:
        error = raised
    came.put(_End(error))
