"""The folder of a sweep tells each trial as it was left; planted bugs show that the test would notice."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attnjax.runs.store import Run, write_json
from attnjax.sweeps import store
from attnjax.sweeps.store import Sweep

CHANGES = [{"train.learning_rate": 0.1, "seed": n} for n in range(5)]
MIXED = {"b": [1, {"d": None, "c": "ü"}], "a": 0.1}


def hold(folder: Path) -> None:
    """Raises AssertionError unless what is written of a sweep is what is read of it."""
    sweep = Sweep(folder / store.SWEEPS_FOLDER / "toy-11aa22bb")
    sweep.folder.mkdir(parents=True)
    own = {"name": "toy", "experiment": "toy", "file": "toy.py", "fingerprint": "f", "config": {}}
    listed = [{"number": n, "changes": changes} for n, changes in enumerate(CHANGES[:4])]
    write_json(sweep.sweep_file, {**own, "trials": listed})
    sweep.write_trial(10_000, CHANGES[4])  # Of a search: no other file has it.
    for number in (1, 2, 3):
        sweep.trial(number).folder.mkdir(parents=True)
        write_json(sweep.trial(number).config_file, {})
    store.write_result(
        sweep.trial(2),
        "done",
        20,
        validation={"loss": 0.5},
        metrics={"all": {"loss": 0.25, "bleu": math.nan}},
    )
    store.write_failure(sweep.trial(3), 7, "out of luck", "Traceback: luck")

    told = sweep.trials()
    assert [trial.number for trial in told] == [0, 1, 2, 3, 10_000]
    assert [trial.changes for trial in told] == CHANGES
    assert [trial.status for trial in told] == ["waiting", "running", "done", "failed", "waiting"]
    assert [trial.result is None for trial in told] == [True, True, False, False, True]
    assert sweep.asked(10_000) == CHANGES[4]
    assert sweep.asked(2) is None
    done, failed = told[2].result, told[3].result
    assert done is not None
    assert failed is not None
    assert (done["step"], done["reason"], failed["step"], failed["reason"]) == (20, None, 7, "out of luck")
    traces = {
        file.parent.name: file.read_text() for file in sweep.folder.glob(f"trials/*/{store.TRACEBACK_FILE}")
    }
    assert traces == {"0003": "Traceback: luck"}
    values = [store.metric_value(done, metric, "loss") for metric in (None, "all/loss", "all/bleu", "all/x")]
    assert values == [0.5, 0.25, None, None]

    other = json.loads(json.dumps(MIXED))
    assert store.fingerprint(MIXED) == store.fingerprint(dict(reversed(other.items())))
    assert store.fingerprint(MIXED) != store.fingerprint({**MIXED, "a": 0.2})
    assert store.resolve("toy-1", folder) == sweep
    assert store.all_sweeps(folder) == [sweep]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    hold(tmp_path)


def of_the_neighbour(self: Sweep, number: int) -> Run:
    return Run(self.folder / "trials" / f"{max(number, 2):04d}")


def of_any_number(result: Any, metric: str | None, monitor: str) -> float | None:
    row, _, column = (metric or "").partition("/")
    return result["metrics"].get(row, {}).get(column) if metric else result["validation"].get(monitor)


def without_details(run: Run, step: int, reason: str, details: str | None, **_: Any) -> None:
    store.write_result(run, "failed", step, reason=reason)


PLANTED: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "trials share a folder": (Sweep, "trial", of_the_neighbour),
    "a search forgets what it asked": (Sweep, "write_trial", lambda self, number, changes: None),
    "a metric that is not finite counts": (store, "metric_value", of_any_number),
    "the traceback is lost": (store, "write_failure", without_details),
    "the order of keys counts": (store, "fingerprint", lambda data: str(data)),
    "all is alike": (store, "fingerprint", lambda data: "f" * 64),
    "what runs has not begun": (Run, "started", property(lambda self: False)),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_noticed(bug: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, name, wrong = PLANTED[bug]
    monkeypatch.setattr(home, name, wrong)
    with pytest.raises((AssertionError, FileExistsError)):
        hold(tmp_path)
