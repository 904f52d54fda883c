"""Hosts of one run have the same code, config and devices, or say in a line what differs."""

import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attnjax
from attnjax.config import InputError
from attnjax.experiment.identity import contents
from attnjax.experiment.registry import Experiment
from attnjax.experiment.serialize import encode, flatten
from attnjax.runs import code
from attnjax.runs.exit_codes import STOPPED_BY_CTRL_C, STOPPED_BY_SIGTERM, Terminated
from attnjax.runs.provenance import versions
from attnjax.train.distributed import hosts

VISIBLE_SECONDS = 30.0
"""After which a shared file system shows on one host what another one wrote."""
NAMED = 3
"""Differences that a line has room for."""


def ending(error: BaseException) -> tuple[int, str]:
    """Returns the exit code of a command that ends with an error, and a line for the other hosts."""
    if isinstance(error, Terminated):
        return STOPPED_BY_SIGTERM, "stopped by SIGTERM"
    if isinstance(error, KeyboardInterrupt):
        return STOPPED_BY_CTRL_C, "interrupted"
    return (2 if isinstance(error, InputError) else 1), f"{error}" or type(error).__name__


def require_same_program(experiment: Experiment, config: Any, options: Mapping[str, Any]) -> None:
    """Compares code, versions, config, its files and options of all hosts; before jax looks for devices.

    Raises:
      InputError: they differ, on all hosts, with what and where.
    """
    if hosts().count > 1:
        package = Path(attnjax.__file__).parent
        own = {str(file.relative_to(package.parent)): _digest(file) for file in sorted(package.rglob("*.py"))}
        own |= {f"module {name}": found["file"][:12] for name, found in code.hashes(experiment).items()}
        own |= versions() | {"experiment": experiment.name, "XLA_FLAGS": os.environ.get("XLA_FLAGS", "")}
        own |= {f"the file {name}": str(found)[:12] for name, found in contents(config).items()}
        own |= {name: str(value) for name, value in {**flatten(encode(config)), **options}.items()}
        _require_same(own)


def require_same_devices() -> None:
    """Compares the devices of all hosts, once jax knows them. Raises InputError as `require_same_program`."""
    if hosts().count > 1:
        import jax

        found = jax.local_devices()
        own = {"jax.process_count()": jax.process_count(), "devices of a host": len(found)}
        _require_same({**own, "backend": jax.default_backend(), "kind of device": found[0].device_kind})


def require_shared(file: Path) -> None:
    """Waits until every host sees what process 0 wrote. Raises InputError where one does not."""
    if hosts().count > 1:
        hosts().exchange("written")
        until = time.monotonic() + VISIBLE_SECONDS
        while not (seen := file.exists()) and time.monotonic() < until:
            time.sleep(0.1)
        blind = [host for host, own in enumerate(hosts().exchange(seen)) if not own]
        if blind:
            hosts().refuse(
                f"host {blind[0]} does not see {file}: expected --runs on storage that all hosts share"
            )


def _require_same(own: Mapping[str, Any]) -> None:
    first, *others = hosts().exchange(own)
    for host, other in enumerate(others, start=1):
        differing = [name for name in [*first, *(other.keys() - first)] if first.get(name) != other.get(name)]
        if differing:
            lines = [f"{name} is {other.get(name)} and not {first.get(name)}" for name in differing[:NAMED]]
            more = f"; and {len(differing) - NAMED} more" if len(differing) > NAMED else ""
            hosts().refuse(f"host {host} differs from host 0: {'; '.join(lines)}{more}")


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]
