#!/usr/bin/env python3
"""Kills a run, or a sweep, at random moments and compares what it ends in with one that was never killed.

    python scripts/kill_resume.py --kills 500
    python scripts/kill_resume.py --kills 500 --what run
    python scripts/kill_resume.py --kills 500 --what sweep
    python scripts/kill_resume.py --kills 500 --what search

The run is the toy of tests/train: `attnjax.train.loop.fit` with dropout, an average of the parameters,
checkpoints and a metrics file. Every other kill waits for a save to begin and falls inside it; the
others come at any moment from start-up to the end. With `--what run` it is all of `attnjax run toy`,
with the experiment of tests/sweeps/user_folder, and every kill comes at any moment: while the folder is
prepared, in the evaluation, in the writing of the result. With `--what sweep` it is a sweep of that
experiment over two shapes, with `--what search` a search over them that prunes. Exits with 1 when a
parameter, a result of the sweep or a byte of any metrics.jsonl differs.
"""

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

STEPS = 48
TOY = ("--experiments", str(ROOT / "tests" / "sweeps" / "user_folder"))
# A forked child of a process that has imported everything is a fresh process without seconds of imports.
PROCESSES = multiprocessing.get_context("forkserver")
PRELOADED = ["attnjax.cli", "attnjax.experiment.overrides", "attnjax.train.loop", "tyro"]
PROCESSES.set_forkserver_preload(PRELOADED)
Main = Callable[[Path, Path], None]
"""What a process does in a folder, with a compilation cache."""


@dataclass(frozen=True)
class Outcome:
    """What two runs of one config must share."""

    params_hash: str
    """Of a sweep: the text of its results, which holds those of its trials."""
    metrics: bytes


@dataclass
class Report:
    """Kills by where they fell, and the runs whose outcome differed."""

    kills: Counter[str] = field(default_factory=Counter)
    finished_runs: int = 0
    different: list[Path] = field(default_factory=list)


def train_toy(folder: Path, cache: Path) -> None:
    """Trains the toy in `folder`, or goes on with it, and leaves the parameters' hash there."""
    import jax

    from attnjax.train.config import TrainConfig
    from attnjax.train.hashing import params_hash
    from attnjax.train.loop import fit
    from tests.train.toy import ToyTask

    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    config = TrainConfig(
        steps=STEPS, batch_size=8, log_every=2, checkpoint_every=6, warmup_steps=4, ema_decay=0.9, dropout=0.2
    )
    result = fit(ToyTask(config.batch_size), config, seed=3, folder=folder, observers=())
    if not result.interrupted:
        (folder / "hash").write_text(params_hash(result.params))


def run_command(folder: Path, cache: Path) -> None:
    """`attnjax run toy` with its run folder in `folder`."""
    _command(folder, cache, "run", "toy")


def sweep_command(folder: Path, cache: Path) -> None:
    """`attnjax sweep toy`: two packs, and trials that diverge."""
    grid = ["--grid", "train.learning_rate=0.1,0.2,1e30", "line.slope=1,2", "--seeds", "2"]
    _command(folder, cache, "sweep", "toy", *grid, "--batching", "map", "--width", "2")


def search_command(folder: Path, cache: Path) -> None:
    """`attnjax sweep toy --search`: 16 packs of three trials, which pass their two lanes on."""
    hunt = ["--search", "tpe", "--trials", "48", "--prune", "median", "--train.steps", "40"]
    space = ["--space", "train.learning_rate=log:1e-2..1", "line.slope=1,2"]
    _command(folder, cache, "sweep", "toy", *hunt, *space, "--batching", "map", "--width", "2")


def _command(folder: Path, cache: Path, *arguments: str) -> None:
    """An `attnjax` command; what it prints goes to a log in `folder`."""
    import jax

    from attnjax.cli import main

    folder.mkdir(exist_ok=True)
    print_into(folder / "log")
    jax.config.update("jax_compilation_cache_dir", str(cache))
    sys.exit(main([*arguments, "--devices", "1", *TOY, "--runs", str(folder)]))


def print_into(file: Path) -> None:
    """Appends to a file all that this process prints from now on."""
    log = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())


MAINS: dict[str, Main] = {
    "fit": train_toy,
    "run": run_command,
    "sweep": sweep_command,
    "search": search_command,
}


def kill_repeatedly(kills: int, seed: int, folder: Path, main: Main = train_toy) -> Report:
    """Kills runs under `folder`, restarting after each of `kills`, and compares every run that finished."""
    dice = random.Random(seed)
    cache = folder / "cache"
    reference = run_to_the_end(folder / "reference", cache, main)
    started = time.monotonic()
    _check(run_to_the_end(folder / "again", cache, main) == reference, "two uninterrupted runs differ")
    usual_seconds = time.monotonic() - started

    report = Report()
    while sum(report.kills.values()) < kills:
        run = folder / f"run-{report.finished_runs}"
        run.mkdir(exist_ok=True)
        process = start(run, cache, main)
        inside_save = main is train_toy and sum(report.kills.values()) % 2 == 1
        alive = _wait_for_save(process, run, dice) if inside_save else _wait(process, dice, usual_seconds)
        if alive:
            report.kills[_kill(process, run)] += 1
        else:
            _finish(run, process, reference, report)
    run = folder / f"run-{report.finished_runs}"
    _finish(run, start(run, cache, main), reference, report)
    return report


def outcome(run: Path) -> Outcome:
    """Of a finished run or sweep."""
    home = _home(run)
    if (home / "sweep.json").exists():
        results, metrics = (
            sorted(home.glob(f"trials/*/{name}")) for name in ("result.json", "metrics.jsonl")
        )
        return Outcome("".join(map(Path.read_text, results)), b"".join(map(Path.read_bytes, metrics)))
    result = home / "result.json"
    params = json.loads(result.read_text())["params_hash"] if result.exists() else (home / "hash").read_text()
    return Outcome(params, (home / "metrics.jsonl").read_bytes())


def start(run: Path, cache: Path, main: Main = train_toy) -> Any:
    """A process that trains in `run` until it ends or is killed."""
    process = PROCESSES.Process(target=main, args=(run, cache))
    process.start()
    return process


def run_to_the_end(run: Path, cache: Path, main: Main = train_toy) -> Outcome:
    """Trains in `run`, or goes on with it, without a kill."""
    process = start(run, cache, main)
    process.join()
    _check(process.exitcode == 0, f"the run in {run} failed with {process.exitcode}")
    return outcome(run)


def _wait(process: Any, dice: random.Random, usual_seconds: float) -> bool:
    # Sometimes long enough to finish, however little of the time is training.
    process.join(dice.uniform(0, 1.25 * usual_seconds))
    return process.is_alive()


def _wait_for_save(process: Any, run: Path, dice: random.Random) -> bool:
    """Until one of the next few saves has begun, and for a moment of it; False when the run ended before."""
    for _ in range(dice.randint(1, 3)):
        while process.is_alive() and _saving(run):
            time.sleep(0.001)
        while process.is_alive() and not _saving(run):
            time.sleep(0.001)
    time.sleep(dice.uniform(0, 0.05))
    return process.is_alive()


def _kill(process: Any, run: Path) -> str:
    """Kills with SIGKILL; returns where the kill fell."""
    process.kill()  # SIGKILL; nothing where the process has just ended.
    process.join()
    if process.exitcode != -signal.SIGKILL:
        return "after the end"
    if _saving(run):
        return "inside a save"
    return "between saves" if "metrics.jsonl" in _names(_home(run)) else "before the first row"


def _home(run: Path) -> Path:
    """Where the files of a run lie: the command makes a folder of its own."""
    return next((folder for place in ("toy-*", "sweeps/toy-*") for folder in run.glob(place)), run)


def _saving(run: Path) -> bool:
    """Whether Orbax's temporary folder of an unfinished save is there."""
    return any("tmp" in name for name in _names(_home(run)))


def _names(folder: Path) -> set[str]:
    """Of all files and folders below. Others rename and remove them meanwhile, which `Path.rglob` refuses."""
    return {name for _, folders, files in os.walk(folder) for name in (*folders, *files)}


def _finish(run: Path, process: Any, reference: Outcome, report: Report) -> None:
    process.join()
    report.finished_runs += 1
    if process.exitcode != 0 or outcome(run) != reference:
        report.different.append(run)


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise SystemExit(message)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--what", choices=MAINS, default="fit", help="default: fit")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = kill_repeatedly(arguments.kills, arguments.seed, Path(folder), MAINS[arguments.what])
    for where, count in sorted(report.kills.items()):
        print(f"{count:5d} kills {where}")
    same = report.finished_runs - len(report.different)
    print(f"{same} of {report.finished_runs} runs ended in the bits of the run that was never killed")
    return 1 if report.different else 0


if __name__ == "__main__":
    sys.exit(main())
