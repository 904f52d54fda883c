"""Inputs in pieces: whole ones of a file, and of a pipe what has come."""

import threading
from collections.abc import Iterator

import pytest

from attnjax.runs.arriving import PIECE, pieces


def test_what_is_there_comes_in_whole_pieces() -> None:
    numbers = range(2 * PIECE + 3)
    assert [len(piece) for piece in pieces(iter(numbers))] == [PIECE, PIECE, 3]
    assert [x for piece in pieces(iter(numbers), arriving=True) for x in piece] == list(numbers)
    assert [*pieces(iter(()), arriving=True)] == []


def test_what_arrives_does_not_wait_for_the_next() -> None:
    answered = threading.Event()

    def asked() -> Iterator[str]:
        yield "first"
        assert answered.wait(10), "the first is answered only when the second is there"
        yield "second"

    found = pieces(asked(), arriving=True)
    assert next(found) == ["first"]
    answered.set()
    assert list(found) == [["second"]]


def test_an_error_comes_after_what_was_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("the second is broken")

    found = pieces(broken(), arriving=True)
    assert next(found) == [1]
    with pytest.raises(ValueError, match="the second"):
        next(found)
