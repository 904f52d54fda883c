"""The specification of a sweep: its trials, or its search, and its metric. It is stored in sweep.json."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from attnjax.config import InputError
from attnjax.experiment.changes import Changes
from attnjax.experiment.identity import canonical, contents, same_values, what_changed
from attnjax.experiment.registry import Experiment
from attnjax.experiment.serialize import encode
from attnjax.mechanisms.catalogue import files_of_own
from attnjax.runs import store
from attnjax.sweeps.space import Categorical, Range
from attnjax.sweeps.store import SWEEPS_FOLDER, Sweep, fingerprint
from attnjax.sweeps.trials import (
    Trial,
    decoded_changes,
    encoded_changes,
    make_trials,
    one_program,
    with_changes,
)

SAMPLERS = ("tpe", "random")
PRUNERS = ("median", "halving", "hyperband")
Domain = Categorical | Range


@dataclass(frozen=True)
class Search:
    """A search: `trials` draws from `space` by a sampler that learns from the trials before.

    `sampler`: "tpe" (Bergstra et al., 2011) or "random"; `pruner`: None, "median", "halving"
    (Li et al., 2020) or "hyperband" (Li et al., 2018), which stop trials by their validations.
    """

    sampler: str
    trials: int
    space: Mapping[str, Domain]
    pruner: str | None = None
    seed: int = 0

    def record(self) -> dict[str, Any]:
        """As JSON holds it, with the values of the space as it holds those."""
        space = {name: asdict(domain) for name, domain in self.space.items()}
        return json.loads(json.dumps({**asdict(self), "space": space}))

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Search":
        """Returns the search whose JSON form is `record`."""
        space: dict[str, Domain] = {
            name: Categorical(tuple(domain["values"])) if "values" in domain else Range(**domain)
            for name, domain in record["space"].items()
        }
        return cls(**{**record, "space": space})


@dataclass(frozen=True)
class SweepSpec:
    """The specification of a sweep: trials of an experiment, as changes of a base config.

    `metric` names a cell of the evaluation table as ROW/COLUMN (None: the task's monitor at the last
    validation), `mode` which end of it is better (None: the monitor's).
    """

    name: str
    experiment: Experiment
    config: Any
    trials: Sequence[Trial]
    metric: str | None = None
    mode: str | None = None
    summary: str = ""
    search: Search | None = None
    """Asks for the trials; `trials` is empty then."""

    def fingerprint(self, stored: dict[str, Any] | None = None) -> str:
        """sha256 of what is computed; the metric is a way to look at it, unless a search asks by it.

        `stored`: the base config as it was written when it had fewer fields.
        """
        changes = [encoded_changes(self.config, trial.changes) for trial in self.trials]
        asked = self.search.record() if self.search else None
        if asked and (self.metric or self.mode):
            asked |= {"metric": self.metric, "mode": self.mode}
        return fingerprint([canonical(self.experiment.name, self.config, stored), changes, asked])

    @property
    def one_shape(self) -> bool:
        """True for a search that varies no static field, so that one program serves all of its trials."""
        return self.search is not None and all(
            one_program(self.config, name, domain.ends) for name, domain in self.search.space.items()
        )

    @property
    def count(self) -> int:
        """The number of trials."""
        return self.search.trials if self.search else len(self.trials)

    def folder(self, runs: Path) -> Sweep:
        """Returns the folder of this sweep under `runs`."""
        folder = runs / SWEEPS_FOLDER / f"{self.name}-{self.fingerprint()[:8]}"
        return Sweep(store.this_or_alike(folder, "sweep.json", lambda other: belongs_to(Sweep(other), self)))


def spec_record(spec: SweepSpec) -> dict[str, Any]:
    """As sweep.json holds it."""
    return {
        "name": spec.name,
        "summary": spec.summary,
        "experiment": spec.experiment.name,
        "file": str(spec.experiment.file),
        "fingerprint": spec.fingerprint(),
        "files": contents(spec.config),
        "mechanisms": files_of_own(),
        "config": encode(spec.config),
        "trials": [
            {"number": trial.number, "changes": encoded_changes(spec.config, trial.changes)}
            for trial in spec.trials
        ],
        "search": spec.search and spec.search.record(),
        "metric": spec.metric,
        "mode": spec.mode,
        "command": shlex.join(["attnjax", *sys.argv[1:]]),
    }


def write_spec(spec: SweepSpec, sweep: Sweep) -> None:
    """Claims the folder for this sweep; the command that began it stays."""
    record = spec_record(spec)
    if sweep.sweep_file.is_file():
        record["command"] = sweep.record().get("command", record["command"])
    store.write_json(sweep.sweep_file, record)


def note_metric(spec: SweepSpec, sweep: Sweep) -> None:
    """Keeps what the trials are judged by, which another start may have told otherwise."""
    record = sweep.record()
    own = {"metric": spec.metric, "mode": spec.mode}
    if record != {**record, **own}:
        store.write_json(sweep.sweep_file, {**record, **own})


def check_owner(spec: SweepSpec, sweep: Sweep) -> None:
    """Raises InputError when the folder exists and was made for another sweep."""
    if sweep.sweep_file.is_file() and not belongs_to(sweep, spec):
        raise InputError(
            f"{sweep.folder} belongs to another sweep: move it away, or choose another --runs folder"
        )


def belongs_to(sweep: Sweep, spec: SweepSpec) -> bool:
    """Returns True if the folder was made for this sweep.

    The stored config may have had its files elsewhere, and fewer fields.
    """
    record = sweep.record()
    return same_values(spec.config, record["config"]) and record["fingerprint"] == spec.fingerprint(
        record["config"]
    )


def read_spec(sweep: Sweep) -> SweepSpec:
    """The sweep that a folder was made for."""
    return spec_of(sweep, sweep.record())


def spec_of(sweep: Sweep, record: dict[str, Any]) -> SweepSpec:
    """The sweep that a record tells of. InputError where it is not that of the files as they are now."""
    experiment, config = store.decode_config(sweep.sweep_file, record)
    changes, asked = [trial["changes"] for trial in record["trials"]], record["search"]
    trials = []
    if changes:
        typed = [decoded_changes(config, own) for own in changes]
        trials = make_trials(config, typed, skip_invalid=False)[0]
    spec = SweepSpec(
        record["name"],
        experiment,
        config,
        trials,
        record["metric"],
        record["mode"],
        record["summary"],
        Search.from_record(asked) if asked else None,
    )
    if spec.fingerprint(record["config"]) != record["fingerprint"]:
        raise InputError(what_changed(sweep.sweep_file, record, config))
    return spec


def trial_of(spec: SweepSpec, number: int, changes: Changes) -> Trial:
    """The trial with these changes, as JSON holds them. InputError where it cannot be."""
    changes = decoded_changes(spec.config, changes)
    return Trial(number, changes, with_changes(spec.config, changes))
