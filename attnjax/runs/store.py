"""The run folder: what lies where, written so that a crash leaves either the old file or the new one.

runs/NAME-1a2b3c4d/
    config.json       experiment, fingerprint, the resolved config: who this folder belongs to
    provenance.json   every start: code, versions, devices, command line
    metrics.jsonl, checkpoints/, …   the trainer's and the task's own files
    result.json       evaluation and parameter hash: the run is finished
"""

import errno
import fcntl
import glob
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnjax.config import InputError, require_seed
from attnjax.experiment.identity import contents, fingerprint, run_id, same_values, what_changed
from attnjax.experiment.registry import Experiment, default_config, find_or_load, load_files
from attnjax.experiment.serialize import decode, encode
from attnjax.mechanisms.catalogue import files_of_own
from attnjax.runs.working_copy import held
from attnjax.train import strict_json

READ_ONLY_ERRORS = {errno.EACCES, errno.EPERM, errno.EROFS}
"""The error numbers of opening a file for writing in a folder that can only be read."""


@dataclass(frozen=True)
class Run:
    """One run folder, which need not exist yet."""

    folder: Path

    @property
    def name(self) -> str:
        """The name of the folder, which is the id of the run."""
        return self.folder.name

    @property
    def config_file(self) -> Path:
        """The file of the config."""
        return self.folder / "config.json"

    @property
    def provenance_file(self) -> Path:
        """The file that says with what each start ran."""
        return self.folder / "provenance.json"

    @property
    def metrics_file(self) -> Path:
        """The file of the metrics, a row for each line."""
        return self.folder / "metrics.jsonl"

    @property
    def result_file(self) -> Path:
        """The file that a finished run has."""
        return self.folder / "result.json"

    @property
    def started(self) -> bool:
        """True if the folder is prepared for training, which ends with writing config.json."""
        return self.config_file.is_file()

    @property
    def trained(self) -> bool:
        """True if the folder holds metrics or a result."""
        rows = self.metrics_file.is_file() and self.metrics_file.stat().st_size
        return bool(rows) or self.result_file.is_file()

    def result(self) -> dict[str, Any] | None:
        """The stored result, or None while the run is unfinished. InputError when it is not ours."""
        if not self.result_file.is_file():
            return None
        kinds = {"step": int, "params_hash": str, "training_seconds": float, "resumed_from": int}
        kinds |= {"metrics": dict, "samples": list, "figures": list}
        return {"weights": "last", **read_result(self.result_file, kinds)}

    def outcome(self) -> dict[str, Any] | None:
        """Returns the result of a run or of a sweep's trial, or None if there is none yet."""
        if not self.result_file.is_file():
            return None
        return read_result(self.result_file, {"step": int, "metrics": dict})

    def write_config(self, experiment: Experiment, config: Any) -> None:
        """Claims the folder for this config."""
        record = {
            "experiment": experiment.name,
            "fingerprint": fingerprint(experiment.name, config),
            "file": str(experiment.file),
            "files": contents(config),
            "config": encode(config),
            "mechanisms": files_of_own(),
        }
        write_json(self.config_file, record)

    def belongs_to(self, experiment: Experiment, config: Any) -> bool:
        """Returns True if the folder was made for this config, perhaps when it had fewer fields."""
        record = self.record()
        return (
            record["experiment"] == experiment.name
            and same_values(config, record["config"])
            and record["fingerprint"] == fingerprint(experiment.name, config, record["config"])
        )

    def check_owner(self, experiment: Experiment, config: Any) -> None:
        """Raises InputError when the folder exists and belongs to another config."""
        if self.started and not self.belongs_to(experiment, config):
            raise InputError(
                f"{self.folder} belongs to another config: move it away, or choose another --runs folder"
            )

    def check_files(self, experiment: Experiment, config: Any) -> None:
        """Raises InputError, naming which, when a file of the config or config.json is not what it was."""
        record = self.record()
        if record["fingerprint"] != fingerprint(experiment.name, config, record["config"]):
            raise InputError(what_changed(self.config_file, record, config))

    def load(self) -> tuple[Experiment, Any]:
        """The experiment and the config that the folder was made for.

        An experiment that is not registered is looked for in the file it came from.
        """
        return decode_config(self.config_file, self.record())

    def record(self) -> dict[str, Any]:
        """Returns the contents of config.json. Raises InputError if attnjax did not write it."""
        return read_record(
            self.config_file, {"experiment": str, "fingerprint": str, "file": str, "config": dict}
        )

    @contextmanager
    def lock(self, *, shared: bool = False) -> Iterator[None]:
        """Holds the run for this process; `shared` for readers, who only keep writers away.

        A reader of a folder that it cannot write to goes without where there is no lock to share.

        Raises InputError when another process works on the run. The kernel drops the lock with the process,
        however it ends: there is no stale lock to clear. Of a copy of what lies at a URL it also fetches the
        checkpoints, and claims the run there (`working_copy`).
        """
        with self._flock(shared=shared), held(self.folder, shared=shared):
            yield

    @contextmanager
    def _flock(self, *, shared: bool) -> Iterator[None]:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        place = self.folder / ".lock"
        try:
            file = place.open("a+")
        except OSError as error:
            if not shared or error.errno not in READ_ONLY_ERRORS:
                raise InputError(f"cannot write to {self.folder}: {error.strerror}") from None
            if not os.access(place, os.R_OK):
                yield
                return
            file = place.open()
        with file:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(f"another process is working on {self.folder}") from None
            yield

    @property
    def locked(self) -> bool:
        """True if another process holds the lock of the run."""
        try:
            with self._flock(shared=True):
                return False
        except InputError:
            return True


def run_for(experiment: Experiment, config: Any, runs: Path) -> Run:
    """The folder under `runs` where this config's run lives. Raises InputError for a seed that is none."""
    require_seed("seed", config.seed)
    folder = runs / run_id(experiment.name, config)
    return Run(this_or_alike(folder, "config.json", lambda other: Run(other).belongs_to(experiment, config)))


def this_or_alike(folder: Path, marker: str, belongs: Callable[[Path], bool]) -> Path:
    """A folder called NAME-HASH; where it has no `marker` file, the one with another hash that `belongs`."""
    if not (folder / marker).is_file():
        name, _, own = folder.name.rpartition("-")
        pattern = f"{glob.escape(name)}-{'[0-9a-f]' * len(own)}/{marker}"
        for other in sorted(file.parent for file in folder.parent.glob(pattern)):
            with suppress(InputError):  # Damaged, or of a config that has lost a field.
                if belongs(other):
                    return other
    return folder


def set_aside(folder: Path) -> Path:
    """Renames a folder to NAME-old-1, or to the next number that is free; returns the new place."""
    free = (folder.with_name(f"{folder.name}-old-{i}") for i in itertools.count(1))
    return folder.rename(next(place for place in free if not place.exists()))


def resolve(run: str, runs: Path) -> Run:
    """The run that a command line names: an id, the start of one (if only one run has it), or a path."""
    if (Path(run) / "config.json").is_file():
        return Run(Path(run).resolve())
    return Run(named("run", run, runs, "config.json"))


def named(kind: str, name: str, place: Path, marker: str) -> Path:
    """The one folder in `place` that holds a `marker` file and is called `name`, or begins with it."""
    found = sorted(path.parent.name for path in place.glob(f"*/{marker}"))
    matches = [name] if name in found else [other for other in found if other.startswith(name)]
    if len(matches) == 1:
        return place / matches[0]
    if matches:
        raise InputError(f"{kind} {name!r} is not unique in {place}: {', '.join(matches)}")
    raise InputError(f"there is no {kind} {name!r} in {place}: it has {', '.join(found) or f'no {kind}s'}")


def decode_config(file: Path, record: dict[str, Any]) -> tuple[Experiment, Any]:
    """The experiment and the config that the record in `file` names."""
    load_files(record.get("mechanisms", []))
    experiment = find_or_load(record["experiment"], Path(record["file"]))
    try:
        return experiment, decode(type(default_config(experiment)), record["config"])
    except InputError as error:
        raise InputError(f"{file} does not fit {experiment.place}: {error}") from None


def prepare_folder(folder: Path) -> None:
    """Creates `folder` and its parents. Raises InputError when that is not allowed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}") from None


def check_writable(folder: Path) -> None:
    """Raises InputError when `folder` could not be created or written to; changes nothing."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise InputError(f"cannot write to {folder}: {place} is not a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"cannot write to {folder}: Permission denied")


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises InputError when it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}") from None


def read_record(path: Path, kinds: dict[str, type]) -> dict[str, Any]:
    """A JSON object with at least these entries. Raises InputError when it is something else."""
    data = read_json(path)
    for name, kind in kinds.items():
        if not isinstance(data, dict) or not isinstance(data.get(name), kind):
            raise InputError(f"{path} is not what attnjax wrote: it has no {name}")
    return data


def read_result(path: Path, kinds: dict[str, type]) -> dict[str, Any]:
    """A result as `read_record` reads it, with NaN for what the evaluation could not measure."""
    result = read_record(path, kinds)
    return {**result, "metrics": {row: strict_json.numbers(own) for row, own in result["metrics"].items()}}


def write_json(path: Path, data: Any) -> None:
    """Replaces `path` in one step: a reader, or a crash, sees the old content or the new.

    Numbers that are not finite are written as null.
    """
    text = strict_json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    # The run's lock keeps other writers away, so a fixed name will do; what a crash left is overwritten.
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
