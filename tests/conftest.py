"""The command line in an empty directory."""

from collections.abc import Callable

import pytest

from attnjax.cli import main, predict
from attnjax.runs import start as running


@pytest.fixture(autouse=True)
def no_notes_for_the_impatient(monkeypatch) -> None:
    """What is printed does not depend on how fast this machine is at the moment."""
    monkeypatch.setattr(running, "SECONDS_BEFORE_FIRST_LINE", 3600.0)
    monkeypatch.setattr(predict, "BETWEEN_NOTES", 3600.0)


@pytest.fixture
def in_an_empty_directory(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ATTNJAX_RUNS", raising=False)


@pytest.fixture
def attnjax(in_an_empty_directory, capsys) -> Callable[..., tuple[int, str, str]]:
    """Runs a command: (exit code, stdout, stderr)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(arguments)
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        return code, *capsys.readouterr()

    return run
