"""The folder of a sweep: what lies where, and how far each trial is. Any other index can be rebuilt from it.

runs/sweeps/NAME-1a2b3c4d/
    sweep.json        experiment, base config, trials or search, metric: who this folder belongs to
    plan.json         batching, width and devices, as measured or asked for at the first start
    provenance.json   every start: code, versions, devices, command line
    packs/…           what trials that are computed together need: checkpoints, the task's files
    trials/0007/      a run folder: config.json, metrics.jsonl, result.json; checkpoints/ where they are kept,
                      error.txt where the trial's own code failed
    report/           what `attnjax report` writes
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from attnjax.config import InputError
from attnjax.experiment.changes import Changes
from attnjax.runs import store
from attnjax.runs.store import Run, named, read_record, read_result, write_json

Status = Literal["waiting", "running", "done", "failed", "pruned"]
SWEEPS_FOLDER = "sweeps"
TRACEBACK_FILE = "error.txt"


@dataclass(frozen=True)
class TrialRecord:
    """One trial as its folder tells it.

    `changes`: the fields that the sweep sets and their values, by dotted name ("seed" among them). `result`:
    what result.json holds, None for a trial that waits or runs.
    """

    number: int
    changes: Changes
    status: Status
    result: dict[str, Any] | None
    folder: Path

    def validations(self, monitor: str) -> dict[int, float]:
        """The task's monitor at each validation so far, by step."""
        return {row["step"]: row[monitor] for row in self._rows("validation")}

    def losses(self) -> dict[int, float]:
        """The training loss so far, by step."""
        return {row["step"]: row["loss"] for row in self._rows("train")}

    def _rows(self, split: str) -> list[dict[str, Any]]:
        from attnjax.train.metrics import MetricsFile

        return [row for row in MetricsFile(Run(self.folder).metrics_file).rows() if row["split"] == split]


@dataclass(frozen=True)
class Sweep:
    """One sweep folder, which need not exist yet."""

    folder: Path

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.folder.name

    @property
    def sweep_file(self) -> Path:
        """The file that holds the specification."""
        return self.folder / "sweep.json"

    @property
    def plan_file(self) -> Path:
        """The file that holds the plan."""
        return self.folder / "plan.json"

    def trial(self, number: int) -> Run:
        """The run folder of a trial."""
        return Run(self.folder / "trials" / f"{number:04d}")

    def result(self, number: int) -> dict[str, Any] | None:
        """Returns the result of a trial, or None while it waits or runs.

        Raises:
          InputError: attnjax did not write the file.
        """
        file = self.trial(number).result_file
        kinds = {"status": str, "step": int, "validation": dict, "metrics": dict}
        return read_result(file, kinds) if file.is_file() else None

    def record(self) -> dict[str, Any]:
        """Returns the contents of sweep.json. Raises InputError if attnjax did not write it."""
        kinds = {"name": str, "experiment": str, "file": str, "fingerprint": str, "config": dict}
        return read_record(self.sweep_file, {**kinds, "trials": list})

    def trials(self) -> list[TrialRecord]:
        """Every trial known so far, by number: those of sweep.json, and those that a search has begun."""
        known = {trial["number"]: trial["changes"] for trial in self.record()["trials"]}
        for file in sorted(self.folder.glob("trials/*/trial.json")):
            known |= [_asked(file)]
        return [self._trial_record(number, known[number]) for number in sorted(known)]

    def _trial_record(self, number: int, changes: Changes) -> TrialRecord:
        run, result = self.trial(number), self.result(number)
        if result is not None:
            return TrialRecord(number, changes, result["status"], result, run.folder)
        return TrialRecord(number, changes, "running" if run.started else "waiting", None, run.folder)

    def asked(self, number: int) -> Changes | None:
        """Returns the changes that a search drew for a trial, in JSON form, or None before the draw."""
        file = self._trial_file(number)
        return _asked(file)[1] if file.is_file() else None

    def write_trial(self, number: int, changes: Changes) -> None:
        """Notes a trial that a search has asked for."""
        file = self._trial_file(number)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {"number": number, "changes": changes})

    def _trial_file(self, number: int) -> Path:
        return self.trial(number).folder / "trial.json"


@dataclass(frozen=True)
class Pack:
    """A pack: trials of one shape that one program computes together, and the folder of its checkpoints."""

    folder: Path
    numbers: Sequence[int]

    @classmethod
    def of(cls, sweep: Sweep, numbers: Sequence[int]) -> "Pack":
        """Returns the pack of trials with these numbers."""
        return cls(sweep.folder / "packs" / f"{numbers[0]:04d}", numbers)


def _asked(file: Path) -> tuple[int, Changes]:
    record = read_record(file, {"number": int, "changes": dict})
    return record["number"], record["changes"]


def write_result(
    run: Run,
    status: Status,
    step: int,
    *,
    reason: str | None = None,
    params_hash: str | None = None,
    parameters: int | None = None,
    validation: dict[str, float] | None = None,
    metrics: dict[str, dict[str, float]] | None = None,
    heads: dict[str, dict[str, float]] | None = None,
    best: dict[str, float] | None = None,
) -> None:
    """Ends a trial. Holds nothing that differs between two sweeps of the same trials: no times, no paths.

    `reason`: why it failed or was pruned. `parameters`: how many there are.
    `validation`: the values of the last validation. `metrics`: the final evaluation, row → column → value.
    `heads`: numbers on the heads of each layer. `best`: step and monitor of the best validation, if that is
    what was evaluated; `validation` is then that one.
    """
    result: dict[str, Any] = {"status": status, "step": step, "reason": reason, "params_hash": params_hash}
    result["parameters"] = parameters
    if best is not None:
        result |= {"weights": "best", "best": best}
    result |= {"validation": validation or {}, "metrics": metrics or {}, "heads": heads or {}}
    write_json(run.result_file, result)


def write_failure(
    run: Run, step: int, reason: str, details: str | None, validation: dict[str, float] | None = None
) -> None:
    """Ends a trial that failed, with the traceback of its own code where that was it."""
    if details:
        (run.folder / TRACEBACK_FILE).write_text(details, encoding="utf-8")
    write_result(run, "failed", step, reason=reason, validation=validation)


def metric_value(result: dict[str, Any] | None, metric: str | None, monitor: str) -> float | None:
    """The number that a sweep compares its trials by; None where a trial has none, or none that is finite."""
    if result is None:
        return None
    row, _, column = (metric or "").partition("/")
    value = result["metrics"].get(row, {}).get(column) if metric else result["validation"].get(monitor)
    return value if value is not None and math.isfinite(value) else None


def fingerprint(data: Any) -> str:
    """sha256 of the JSON form, 64 hex digits."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def resolve(name: str, runs: Path) -> Sweep:
    """The sweep that a command line names: a folder's name, the start of one, or a path."""
    if (Path(name) / "sweep.json").is_file():
        return Sweep(Path(name).resolve())
    return Sweep(named("sweep", name, runs / SWEEPS_FOLDER, "sweep.json"))


def resolve_run_or_sweep(name: str, runs: Path) -> "Run | Sweep":
    """Returns what a name stands for: the sweep if both a sweep and a run have a name that begins so.

    Raises:
      InputError: neither a sweep nor a run has such a name, or several do.
    """
    for find in (resolve, store.resolve):
        try:
            return find(name, runs)
        except InputError as error:
            if "not unique" in str(error):
                raise
    where = f"neither a run in {runs} nor a sweep in {runs / SWEEPS_FOLDER} is called {name!r}"
    raise InputError(f"{where} (see `attnjax runs` and `attnjax status`)")


def all_sweeps(runs: Path) -> list[Sweep]:
    """Returns the sweeps in the folder `runs`, by name."""
    return [Sweep(file.parent) for file in sorted((runs / SWEEPS_FOLDER).glob("*/sweep.json"))]


def read_plan(sweep: Sweep) -> dict[str, Any] | None:
    """Returns the record of the sweep's plan, or None before its first start.

    Plans from before there was a choice of weights have those after the last step.
    """
    if not sweep.plan_file.is_file():
        return None
    kinds = {"batching": str, "width": int, "devices": int, "monitor": list, "seconds_per_step": dict}
    plan = read_record(sweep.plan_file, {**kinds, "per_pack": int, "keep_params": str, "packs": int})
    return {"weights": "last", **plan}
