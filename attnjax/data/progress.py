"""Long work on data, shown as it goes on."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

SECONDS_BEFORE = 2.0
"""Of work of which nothing is shown."""
SECONDS_BETWEEN_LINES = 15.0
"""On what is no terminal."""

T = TypeVar("T")


def console_of_notes() -> Console:
    """Returns the console of stderr, a terminal only where somebody sees what moves.

    With FORCE_COLOR, which notebooks and builds on servers set, rich takes each pipe for a terminal.
    """
    return Console(stderr=True, force_terminal=None if sys.stderr.isatty() else False)


def with_progress(
    items: Iterable[T], total: int, doing: str, *, console: Console | None = None
) -> Iterator[T]:
    """Yields items as they come, and shows how many there are by now where that takes long.

    A terminal shows a bar, which is gone at the end; elsewhere a plain line comes now and then. Of several
    hosts, which all do the same work, the first one alone shows it.

    Args:
      items: each of which is a part of the work.
      total: their number.
      doing: what is done, a few words.
      console: None for that of stderr.

    Example:
      >>> sum(with_progress(range(4), 4, "adding up numbers"))
      6
    """
    from attnjax.data.hosts import is_first_host  # Tables of the command line have no use for jax.

    console = console or console_of_notes()
    moves = console.is_interactive
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        MofNCompleteColumn(),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        disable=not moves,
    )
    task = bar.add_task(doing, total=total)
    began = time.monotonic()
    due = began + SECONDS_BEFORE
    try:
        for done, item in enumerate(items, 1):
            yield item
            bar.update(task, completed=done)
            now = time.monotonic()
            if now < due or not is_first_host():
                continue
            due = now + SECONDS_BETWEEN_LINES
            bar.start()
            if not moves:
                left = (total - done) * (now - began) / done
                line = f"{doing} {done}/{total}  {left:.0f} s left"
                console.print(line, highlight=False, markup=False, soft_wrap=True)
    finally:
        bar.stop()
