"""Long work is shown as it goes on: a bar on a terminal, elsewhere plain lines; quick work is not."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from attnjax.data import progress
from attnjax.data.images.config import RecognitionData
from attnjax.data.images.recognition import recognition_parts
from attnjax.data.progress import with_progress


class Clock:
    """Each look at it is a second later."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now


def shown(items: int, *, terminal: bool, monkeypatch: pytest.MonkeyPatch) -> str:
    """Shows work whose items take a second each."""
    monkeypatch.setattr(progress, "time", Clock())
    console = Console(file=io.StringIO(), force_terminal=terminal, force_interactive=terminal, width=100)
    work = with_progress(iter(range(items)), items, "reading [all]", console=console)
    assert list(work) == list(range(items))
    return console.file.getvalue()


def test_elsewhere_lines_come_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(40, terminal=False, monkeypatch=monkeypatch).splitlines()
    assert lines == [f"reading [all] {done}/40  {40 - done} s left" for done in (2, 17, 32)]


def test_a_terminal_shows_a_bar_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(40, terminal=True, monkeypatch=monkeypatch)
    for part in ("reading [all]", "40/40", "left"):
        assert part in text
    assert text.endswith("\x1b[2K")  # The line of the bar is erased.


@pytest.mark.parametrize("terminal", [False, True])
def test_nothing_is_shown_of_what_is_quick(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(1, terminal=terminal, monkeypatch=monkeypatch) == ""


def test_of_several_hosts_the_first_one_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jax.process_index", lambda: 1)
    assert shown(40, terminal=False, monkeypatch=monkeypatch) == ""


def test_images_are_read_with_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(10):
            Image.fromarray(np.full((4, 4), number, np.uint8)).save(tmp_path / label / f"{number}.png")
    monkeypatch.setattr(progress, "SECONDS_BEFORE", 0.0)
    recognition_parts(RecognitionData(path=tmp_path, side=4))
    assert capsys.readouterr().err.startswith("reading images 1/20  ")
