"""Requests that are answered together."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from attnjax.runs.serving import batcher as module
from attnjax.runs.serving.batcher import Batcher, Busy


class Answering:
    """Answers in capitals, waits until it is told to, and keeps what it was asked."""

    def __init__(self):
        self.asked, self.begun, self.go = [], threading.Event(), threading.Event()

    def __call__(self, texts, settings):
        self.begun.set()
        assert self.go.wait(10)
        self.asked.append((list(texts), settings))
        if "bad" in texts:
            raise ValueError("bad text")
        return [text.upper() for text in texts]


@pytest.fixture
def answering():
    return Answering()


def asked_while_busy(answering, requests):
    """Asks all requests while the first one, "x", is computed; returns the futures."""
    with Batcher(answering) as batcher, ThreadPoolExecutor(len(requests) + 1) as threads:
        first = threads.submit(batcher.ask, ["x"], 0)
        assert answering.begun.wait(10)
        futures = []
        for texts, settings in requests:
            futures.append(threads.submit(batcher.ask, texts, settings))
            while batcher._jobs.qsize() < len(futures):
                pass
        answering.go.set()
        found = [first, *futures]
        for future in found:
            future.exception(10)
    return found


def test_requests_that_wait_are_answered_together_and_each_gets_its_own(answering):
    found = asked_while_busy(answering, [(["a", "b"], 0), (["c"], 0)])
    assert [future.result() for future in found] == [["X"], ["A", "B"], ["C"]]
    assert answering.asked == [(["x"], 0), (["a", "b", "c"], 0)]


def test_other_settings_are_answered_apart_and_none_is_forgotten(answering):
    found = asked_while_busy(answering, [(["a"], 0), (["b"], 1), (["c"], 0), (["d"], 1)])
    assert [future.result() for future in found] == [["X"], ["A"], ["B"], ["C"], ["D"]]
    assert answering.asked[1:] == [(["a", "c"], 0), (["b", "d"], 1)]


def test_one_bad_request_does_not_hurt_the_others(answering):
    found = asked_while_busy(answering, [(["a"], 0), (["bad"], 0), (["c"], 0)])
    assert found[1].result() == ["A"]
    assert found[3].result() == ["C"]
    with pytest.raises(ValueError, match="bad text"):
        found[2].result()


def test_no_more_may_wait_than_there_is_room_for(answering, monkeypatch):
    monkeypatch.setattr(module, "WAITING", 3)
    found = asked_while_busy(answering, [(["a", "b"], 0)])
    assert found[1].result() == ["A", "B"]
    with Batcher(answering) as batcher:
        with pytest.raises(Busy, match="0 texts wait"):
            batcher.ask(["a"] * 4, 0)
        assert batcher.ask(["a"] * 3, 0) == ["A"] * 3
