"""The identity of a run. Configs with equal values and equal contents of their files are one run.

A run is named `NAME-<8 hex digits>`, from the sha256 of its config's canonical JSON form. That is only where
it is looked for first: a folder from when the config had fewer fields has another name, and is known by the
config that it stores, in which the new fields take their defaults.

Where a file lies does not matter, what it holds does: a `Path` enters as the hash of its content. So a corpus
that was moved keeps its run, and one that was edited gets a new run instead of the result of the old lines.
Devices, folders and the command line are left out (they are in the provenance).
"""

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

from attnjax.config import InputError, fetched_by
from attnjax.experiment.serialize import decode, encode


def canonical(experiment: str, config: Any, stored: dict[str, Any] | None = None) -> str:
    """The text that is hashed: JSON with sorted keys, no spaces, contents in place of paths.

    `stored` is the JSON form of the same config from when it had fewer fields: then only those enter.
    """
    values = encode(config) if stored is None else stored
    data = {"experiment": experiment, "config": _with_contents(values, contents(config))}
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def fingerprint(experiment: str, config: Any, stored: dict[str, Any] | None = None) -> str:
    """sha256 of the canonical form, 64 hex digits."""
    return hashlib.sha256(canonical(experiment, config, stored).encode()).hexdigest()


def run_id(experiment: str, config: Any) -> str:
    """The name of a new run's folder: the experiment's name and the first 8 hex digits of the fingerprint."""
    return f"{experiment}-{fingerprint(experiment, config)[:8]}"


def same_values(config: Any, stored: dict[str, Any]) -> bool:
    """Returns True if a stored config has the values of this one. Paths and files are not compared."""
    try:
        found = decode(type(config), stored)
    except InputError:
        return False
    return encode(found, write_path=_any_path) == encode(config, write_path=_any_path)


def contents(config: Any) -> dict[str, str]:
    """The hash of what lies at each path of a config, by the field's dotted name."""
    found: dict[str, str] = {}

    def note(name: str, path: Path) -> str:
        found[name] = content_hash(name, path)
        return found[name]

    encode(config, write_path=note)
    return found


def what_changed(record_file: Path, record: dict[str, Any], config: Any) -> str:
    """Returns the reason why a fingerprint does not match its config: a changed file or an edited record."""
    before, paths = record.get("files", {}), dict[str, Path]()
    encode(config, write_path=lambda name, path: paths.setdefault(name, path))
    now = contents(config)
    changed = [f"{name} ({paths[name]})" for name in now if before.get(name, now[name]) != now[name]]
    if changed:
        return f"{', '.join(changed)} has changed since {record_file.parent.name} began"
    unknown = [name for name in now if name not in before]
    return f"{record_file} was edited" + (f", or the file of {', '.join(unknown)}" if unknown else "")


def content_hash(name: str, path: Path) -> str:
    """sha256 of a file, or of a folder's relative names and contents; of a finished run, of its parameters.

    Raises InputError, naming the field, when there is nothing readable at `path`.
    """
    digest = hashlib.sha256()
    try:
        if (of_run := _run_hash(path)) is not None:
            digest.update(of_run.encode())
        elif path.is_dir():
            for file in sorted(p for p in path.rglob("*") if p.is_file()):
                digest.update(f"{file.relative_to(path).as_posix()}\0{_file_hash(file)}\n".encode())
        else:
            digest.update(_file_hash(path).encode())
    except FileNotFoundError:
        command = fetched_by(path)
        how = f"; `{command}` fetches it" if command else ""
        raise InputError(f"{name} is {str(path)!r}: there is no such file{how}") from None
    except OSError as error:
        raise InputError(f"{name} is {str(path)!r}: it cannot be read ({error.strerror})") from None
    return f"sha256:{digest.hexdigest()}"


def _run_hash(folder: Path) -> str | None:
    """Returns the hash of a finished run's parameters, which its folder's reports leave as it is."""
    config, result = folder / "config.json", folder / "result.json"
    if not (config.is_file() and result.is_file()):
        return None
    try:
        ours, found = (json.loads(file.read_text(encoding="utf-8")) for file in (config, result))
    except ValueError:
        return None
    of_run = isinstance(ours, dict) and "fingerprint" in ours and isinstance(found, dict)
    return found.get("params_hash") if of_run else None


def _file_hash(path: Path) -> str:
    stat = path.stat()
    return _hash(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)


@functools.lru_cache(1024)
def _hash(path: Path, size: int, changed: int, number: int) -> str:
    """A large file is read once, however often its name is asked for."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _with_contents(data: Any, hashes: dict[str, str], name: str = "") -> Any:
    """A config's JSON form with hashes in place of the paths, which have these names."""
    if name in hashes:
        return hashes[name]
    if isinstance(data, dict):
        return {k: _with_contents(v, hashes, f"{name}.{k}" if name else k) for k, v in data.items()}
    if isinstance(data, list):
        return [_with_contents(item, hashes, f"{name}[{i}]") for i, item in enumerate(data)]
    return data


def _any_path(name: str, path: Path) -> str:
    return "path"
