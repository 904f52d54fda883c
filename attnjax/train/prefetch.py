"""Batches of the next dispatch, prepared while the device computes the present one."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")


@contextmanager
def prefetched(load: Callable[[Item], Loaded], items: Iterable[Item]) -> Iterator[Iterator[Loaded]]:
    """`map(load, items)`, one item ahead, on one background thread; its errors are raised by `next`.

    >>> with prefetched(abs, [-1, -2]) as loaded:
    ...     list(loaded)
    [1, 2]
    """
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as thread:

        def run() -> Iterator[Loaded]:
            ahead = None
            for item in items:
                ready, ahead = ahead, thread.submit(load, item)
                if ready is not None:
                    yield ready.result()
            if ahead is not None:
                yield ahead.result()

        yield run()
        thread.shutdown(cancel_futures=True)
