"""Prefetching: in order, one ahead, errors where they are asked for."""

import threading

import pytest

from attnjax.train.prefetch import prefetched

pytestmark = pytest.mark.versions


def test_the_next_item_is_loaded_while_the_present_one_is_used() -> None:
    loaded = [threading.Event() for _ in range(3)]

    def load(index: int) -> int:
        loaded[index].set()
        return index

    with prefetched(load, range(3)) as items:
        assert next(items) == 0
        assert loaded[1].wait(timeout=10)
        assert not loaded[2].is_set()
        assert list(items) == [1, 2]


def test_an_error_of_the_loader_is_raised_by_next() -> None:
    def load(index: int) -> float:
        return 1 / index

    with prefetched(load, [1, 0]) as items:
        assert next(items) == 1
        with pytest.raises(ZeroDivisionError):
            next(items)
