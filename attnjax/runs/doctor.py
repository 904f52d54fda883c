"""Checks of this machine: its versions, devices and folders, what is wrong with them and how to mend it."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from attnjax.config import InputError
from attnjax.runs import provenance, store
from attnjax.runs.devices import cache_folder, cores, start_jax

State = Literal["ok", "warning", "broken"]


@dataclass(frozen=True)
class Diagnosis:
    """One thing looked at; `remedy` says what to do where the state is not ok."""

    name: str
    state: State
    text: str
    remedy: str = ""


def examine(runs: Path, experiment_problems: Sequence[str]) -> Iterator[Diagnosis]:
    """Looks at versions, devices, folders and experiments, one after the other."""
    yield Diagnosis("versions", "ok", ", ".join(f"{k} {v}" for k, v in provenance.versions().items()))
    yield from _guarded(
        "devices", _devices, "reinstall jax for this machine: https://docs.jax.dev/installation"
    )
    yield from _guarded("speed", _speed, "see the devices above")
    yield from _guarded("compilation cache", _cache, f"make {cache_folder()} writable, or set XDG_CACHE_HOME")
    yield from _guarded("runs folder", lambda: _runs(runs), "choose another with --runs or ATTNJAX_RUNS")
    yield from _experiments(experiment_problems)


def _guarded(name: str, look: Callable[[], tuple[State, str]], remedy: str) -> Iterator[Diagnosis]:
    """A doctor that dies of the patient's illness helps nobody: whatever is raised is a finding."""
    try:
        state, text = look()
    except Exception as error:
        state, text = "broken", f"{type(error).__name__}: {error}"
    yield Diagnosis(name, state, text, "" if state == "ok" else remedy)


def _devices() -> tuple[State, str]:
    start_jax()
    import jax

    devices = jax.devices()
    text = f"{len(devices)} × {devices[0].device_kind} ({jax.default_backend()}), {cores()} CPU cores"
    if len({device.device_kind for device in devices}) > 1:
        return "warning", f"{text}: they are of different kinds"
    return "ok", text


def _speed() -> tuple[State, str]:
    import jax
    import jax.numpy as jnp

    size, repeats = 512, 10
    multiply = jax.jit(lambda x: x @ x / size)
    x = multiply(jnp.ones((size, size))).block_until_ready()
    started = time.perf_counter()
    for _ in range(repeats):
        x = multiply(x)
    x.block_until_ready()
    rate = repeats * 2 * size**3 / (time.perf_counter() - started) / 1e9
    return "ok", f"{rate:.0f} GFLOP/s in {size}×{size} float32 products on one device"


def _cache() -> tuple[State, str]:
    import jax

    folder = Path(jax.config.values["jax_compilation_cache_dir"])
    try:
        store.check_writable(folder)
    except InputError as error:
        return "warning", f"{error}: every start compiles again"
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0
    return "ok", f"{folder}, {size / 1e6:.0f} MB"


def _runs(runs: Path) -> tuple[State, str]:
    store.check_writable(runs)
    place = next(folder for folder in (runs.absolute(), *runs.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free / 1e9
    count = len(list(runs.glob("*/config.json")))
    text = f"{runs}, {count} run(s), {free:.1f} GB free"
    return ("ok", text) if free > 1 else ("warning", f"{text}: little room for checkpoints")


def _experiments(problems: Sequence[str]) -> Iterator[Diagnosis]:
    for problem in problems:
        yield Diagnosis("experiment", "broken", problem, "mend the file, or move it out of the folder")
    if not problems:
        yield Diagnosis("experiments", "ok", "all of them load")
