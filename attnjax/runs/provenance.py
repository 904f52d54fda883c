"""The provenance of a start: code, versions, devices, command line. It is no part of the run's id."""

import hashlib
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from typing import Any

import attnjax
from attnjax.config import InputError
from attnjax.experiment.registry import Experiment
from attnjax.runs import code
from attnjax.runs.store import Run, read_json, write_json
from attnjax.train.distributed import hosts

Notify = Callable[[str], None]

PACKAGES = ("attnjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "tokenizers")
# What may change the bits of a run; the rest of the record is for people.
DECIDES_BITS = ("platform", "device_kind", "devices", "machine", "xla_flags")
REQUIRED_KEYS = {*DECIDES_BITS, "code", "versions"}


def collect(
    experiment: Experiment, *, seed: int, devices: int, placed: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The provenance of this process; `placed` is the mesh and the rules of a run.

    Starts jax's backend, so the topology must be set before.
    """
    import jax

    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
        "seed": seed,
        "code": {
            "attnjax": _git(Path(attnjax.__file__)),
            "experiment": _git(experiment.file),
            "modules": code.hashes(experiment),
        },
        "versions": versions(),
        "platform": jax.default_backend(),
        "device_kind": jax.devices()[0].device_kind,
        "devices": devices,
        **(placed or {}),
        "hosts": hosts().count,
        "machine": platform.machine(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def versions() -> dict[str, str]:
    """The installed versions of Python and of the packages that a run rests on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def record_start(run: Run, record: dict[str, Any], notify: Notify) -> None:
    """Adds one start to the run's provenance; the first is the one that created it.

    Says what may change the bits and is not as at the start before.
    """
    before = starts(run)
    if before and (changed := differences(before[-1], record)):
        notify(f"{'; '.join(changed)}: {run.name} goes on, its bits may differ")
    write_json(run.provenance_file, {"starts": [*before, record]})


def starts(run: Run) -> list[dict[str, Any]]:
    """The provenance of every start of the run, oldest first. InputError for a file that is not ours."""
    if not run.provenance_file.is_file():
        return []
    data = read_json(run.provenance_file)
    found = data.get("starts") if isinstance(data, dict) else None
    if not isinstance(found, list) or not all(
        isinstance(s, dict) and s.keys() >= REQUIRED_KEYS for s in found
    ):
        raise InputError(f"{run.provenance_file} is not what attnjax wrote")
    return found


def require_same_code(run: Run, experiment: Experiment, *, accept: bool, notify: Notify) -> None:
    """Raises InputError, naming the files, where the user's code is not that of the last start.

    With `accept` it is a note.
    """
    changed = changed_code(starts(run)[-1:], experiment)
    if changed and not accept:
        raise InputError(
            f"{'; '.join(changed)} since the last start of {run.name}: --accept-changed-code "
            "(accept_changed_code=True) goes on all the same, --fresh (fresh=True) starts anew and keeps "
            "what is there"
        )
    if changed:
        notify(f"with changed code: {'; '.join(changed)}")


def changed_code(records: Iterable[dict[str, Any]], experiment: Experiment) -> list[str]:
    """One line for each of the user's modules that is not what it was at one of these starts."""
    now = code.hashes(experiment)
    lines = [code.changes(record["code"].get("modules", now), now, experiment) for record in records]
    return list(dict.fromkeys(chain(*lines)))


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """One line for each thing but the user's code that may change the bits and differs between two starts."""
    before, after = _decides_bits(old), _decides_bits(new)
    return [
        f"{name} was {before.get(name, 'absent')} and is {after.get(name, 'absent')}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def _decides_bits(record: dict[str, Any]) -> dict[str, Any]:
    git = record["code"]["attnjax"] or {"commit": "unknown", "diff": ""}
    return {
        **record["versions"],
        **{key: record[key] for key in DECIDES_BITS},
        "mesh": record.get("mesh", f"data={record['devices']}"),
        "rules": record.get("rules", "replicated"),
        "hosts": record.get("hosts", 1),
        "commit of attnjax": git["commit"],
        "uncommitted change of attnjax": _digest(git["diff"]) if git["diff"] else "none",
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _git(file: Path) -> dict[str, str] | None:
    """Commit and uncommitted changes of the repository that tracks `file`; None where none does."""
    # An attnjax installed inside somebody's project lies in a repository, but is no part of it.
    if _git_output(file, "ls-files", "--error-unmatch", file.name) is None:
        return None
    return {
        "commit": (_git_output(file, "rev-parse", "HEAD") or "unknown").strip(),
        "diff": _git_output(file, "diff", "HEAD") or "",
        "untracked": _git_output(file, "ls-files", "--others", "--exclude-standard", ":/") or "",
    }


def _git_output(file: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(file.parent), "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None
