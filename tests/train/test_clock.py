"""The seconds and the speed of training: without compilation, and none where too little time has passed."""

from pathlib import Path

import pytest

from attnjax.train import clock as module
from attnjax.train.clock import Clock
from attnjax.train.metrics import MetricsFile


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test sets."""
    time = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: time[0])
    return time


def _stamps(
    clock: Clock, now: list[float], rows: list[tuple[int, float]]
) -> list[tuple[float, float | None]]:
    stamps = []
    for step, time in rows:
        now[0] = time
        row = clock.stamped({"step": step, "split": "train"})
        stamps.append((row["seconds"], row["steps_per_second"]))
    return stamps


def test_compilation_does_not_slow_and_a_short_span_tells_nothing(tmp_path: Path, now: list[float]) -> None:
    clock = Clock(tmp_path)
    clock.start(0)
    now[0] = 110.0
    clock.compiled(0)
    # Steps that were finished long before they are looked at, after a pause: 3475.9 steps/s, they would say.
    rows = [(20, 110.2), (40, 110.2001), (60, 112.0), (80, 112.1), (100, 114.0)]
    assert _stamps(clock, now, rows) == [(10.2, None), (10.2, None), (12.0, 30.0), (12.1, None), (14.0, 20.0)]


def test_no_speed_is_told_across_a_second_compilation(tmp_path: Path, now: list[float]) -> None:
    clock = Clock(tmp_path)
    clock.start(0)
    clock.compiled(0)
    now[0] = 105.0
    clock.compiled(20)  # For a shorter last chunk, while the first one was computed.
    assert _stamps(clock, now, [(20, 105.1), (30, 106.0)]) == [(5.1, None), (6.0, 10.0)]


def test_a_start_goes_on_from_the_seconds_of_its_checkpoint(tmp_path: Path, now: list[float]) -> None:
    clock = Clock(tmp_path)
    clock.start(0)
    _stamps(clock, now, [(10, 104.0), (20, 108.0)])
    clock = Clock(tmp_path)
    clock.start(10)
    assert _stamps(clock, now, [(20, 111.0)]) == [(7.0, None)]
    assert [row["step"] for row in MetricsFile(tmp_path / "times.jsonl").rows()] == [10, 20]
