"""The command line in an empty directory."""

from collections.abc import Callable

import pytest

from attnjax.cli import main
from attnjax.runs import start as running


@pytest.fixture
def in_an_empty_directory(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ATTNJAX_RUNS", raising=False)


@pytest.fixture
def attnjax(in_an_empty_directory, capsys, monkeypatch) -> Callable[..., tuple[int, str, str]]:
    """Runs a command: (exit code, stdout, stderr)."""
    # What is printed does not depend on this machine.
    monkeypatch.setattr(running, "SECONDS_BEFORE_FIRST_LINE", 3600.0)

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(arguments)
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        return code, *capsys.readouterr()

    return run
