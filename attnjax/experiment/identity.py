"""Which run a config is: `NAME-<8 hex digits>` from the sha256 of its canonical JSON form.

Where a file lies does not matter, what it holds does: a `Path` enters as the hash of its content. So a corpus
that was moved keeps its run, and one that was edited gets a new run instead of the result of the old lines.
Devices, folders and the command line are left out (they are in the provenance).
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from attnjax.config import InputError
from attnjax.experiment.serialize import encode


def canonical(experiment: str, config: Any) -> str:
    """The text whose hash names the run: JSON with sorted keys, no spaces, contents in place of paths."""
    data = {"experiment": experiment, "config": encode(config, write_path=content_hash)}
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def fingerprint(experiment: str, config: Any) -> str:
    """sha256 of the canonical form, 64 hex digits."""
    return hashlib.sha256(canonical(experiment, config).encode()).hexdigest()


def run_id(experiment: str, config: Any) -> str:
    """The name of the run folder: the experiment's name and the first 8 hex digits of the fingerprint."""
    return f"{experiment}-{fingerprint(experiment, config)[:8]}"


def content_hash(name: str, path: Path) -> str:
    """sha256 of a file, or of a folder's relative names and contents.

    Raises InputError, naming the field, when there is nothing readable at `path`.
    """
    digest = hashlib.sha256()
    try:
        if path.is_dir():
            for file in sorted(p for p in path.rglob("*") if p.is_file()):
                digest.update(f"{file.relative_to(path).as_posix()}\0{_file_hash(file)}\n".encode())
        else:
            digest.update(_file_hash(path).encode())
    except FileNotFoundError:
        raise InputError(f"{name} is {str(path)!r}: there is no such file") from None
    except OSError as error:
        raise InputError(f"{name} is {str(path)!r}: it cannot be read ({error.strerror})") from None
    return f"sha256:{digest.hexdigest()}"


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
