"""Trains each field, and prints one table: ours over seeds, the best without attention, the best possible.

    scripts/fields.sh --quick                     # a small preset of each, two seeds, at most 25 minutes
    scripts/fields.sh --quick negation driving    # some of them
    scripts/fields.sh                             # as the experiments are, three seeds: hours
    scripts/fields.sh --no-training               # the table of what is finished

A run is that of the command in its row, in its folder under --runs (default: $ATTNJAX_RUNS or ./runs): a
finished one is read, and one that was stopped goes on, so that after Ctrl-C the same command continues. A
field that fails, as for want of a corpus, says why; the others go on, and the exit code is 1. A new field is
a row of scripts/field_rows.py.
"""

import argparse
import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from field_rows import FIELDS, Field

from attnjax.config import InputError, require
from attnjax.data.fetch.catalogue import corpus_named
from attnjax.experiment import registry
from attnjax.experiment.changes import with_changes
from attnjax.experiment.words import duration
from attnjax.runs.exit_codes import STOPPED_BY_CTRL_C, STOPPED_BY_SIGTERM, Terminated, sigterm_raises
from attnjax.runs.report.digits import shown, with_spread
from attnjax.runs.start import absolute_paths
from attnjax.runs.store import run_for

Metrics = Mapping[str, Mapping[str, float]]
"""The final table of a run: row, column, value."""
Cells = tuple[str, ...]
COLUMNS = ("task", "metric", "ours ± sd", "baseline", "best possible", "command")
SEEDS, SEEDS_OF_QUICK = 3, 2
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Scores:
    """What the runs of a field found.

    Attributes:
      ours: the score of each seed that is finished.
      baseline: the name of the best one, and its mean.
      best: the best possible score; None: nobody knows it.
    """

    ours: tuple[float, ...]
    baseline: tuple[str, float]
    best: float | None


def scores_of(own: Field, tables: Sequence[Metrics]) -> Scores:
    """Returns the scores in the final tables of a field's runs, one or more.

    Raises:
      InputError: a table has no such row, or the row no such column.
    """
    row, _, column = own.metric.rpartition("/")
    ours = tuple(cell(own, metrics, row, column) for metrics in tables)
    known = [name for name in tables[0] if any(fnmatchcase(name, of) for of in own.baselines)]
    require(bool(known), f"{own.experiment}: no row of {', '.join(own.baselines)}: {has(tables[0])}")
    means = {name: statistics.fmean(cell(own, metrics, name, column) for metrics in tables) for name in known}
    choose: Callable[..., str] = max if own.mode == "max" else min
    first = choose(means, key=means.__getitem__)
    best = own.best
    if isinstance(best, str):
        best = statistics.fmean(cell(own, metrics, best, column) for metrics in tables)
    return Scores(ours, (first, means[first]), best)


def cell(own: Field, metrics: Metrics, row: str, column: str) -> float:
    """Returns a number of a final table."""
    require(row in metrics, f"{own.experiment}: no row {row!r}: {has(metrics)}")
    columns = metrics[row]
    require(column in columns, f"{own.experiment}: row {row!r} has no column {column!r}: {has(columns)}")
    return columns[column]


def has(names: Iterable[str]) -> str:
    """Returns the end of an error that names what there is."""
    return f"it has {', '.join(names)}"


def line(own: Field, tables: Sequence[Metrics], quick: bool) -> Cells:
    """Returns the cells of a field whose finished runs have these final tables."""
    metric, command = own.metric.rpartition("/")[2], f"`{shlex.join(own.command(quick))}`"
    if not tables:
        return own.task, metric, "–", "–", "–", command
    found = scores_of(own, tables)
    spread = statistics.stdev(found.ours) if len(found.ours) > 1 else None
    name, score = found.baseline
    best = "–" if found.best is None else shown(found.best)
    ours = with_spread(statistics.fmean(found.ours), spread)
    return own.task, metric, ours, f"{shown(score)}, {name.partition(':')[0]}", best, command


def markdown(rows: Sequence[Cells]) -> str:
    """Returns a table with COLUMNS, in Markdown.

    >>> print(markdown([("a", "AUROC", "0.7", "0.6, chance", "–", "`run`")]).splitlines()[2])
    | a | AUROC | 0.7 | 0.6, chance | – | `run` |
    """
    lines = [COLUMNS, ["---"] * len(COLUMNS), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def configured(own: Field, quick: bool, seed: int) -> tuple[registry.Experiment, Any]:
    """Returns the experiment of a field, and the config of a run with a seed."""
    experiment = registry.find(own.experiment)
    changes = {**own.changes(quick), "seed": seed}
    return experiment, with_changes(registry.default_config(experiment), changes, own.experiment)


def finished(own: Field, quick: bool, seed: int, runs: Path) -> Metrics | None:
    """Returns the final table of a run, or None where it is not finished."""
    if own.script is not None:
        file = scored_by_script(own, quick, seed, runs)
        return json.loads(file.read_text(encoding="utf-8"))["metrics"] if file.is_file() else None
    experiment, config = configured(own, quick, seed)
    result = run_for(experiment, absolute_paths(config), runs).outcome()
    return None if result is None else result["metrics"]


def scored_by_script(own: Field, quick: bool, seed: int, runs: Path) -> Path:
    """Returns the file into which the script of a field writes its final table."""
    changes = (f"{name}-{value}" for name, value in own.changes(quick).items())
    return runs / "-".join([own.experiment, *changes, f"seed-{seed}.json"])


def read_by(config: Any) -> list[Path]:
    """Returns the files and folders that the data of a config names."""
    values = [getattr(config.data, field.name) for field in fields(config.data)]
    return [value for value in values if isinstance(value, Path)]


def fetch(own: Field, config: Any) -> None:
    """Writes the corpora that a config reads, where they are missing.

    Raises:
      NotFetched: one cannot be had.
    """
    if not all(path.exists() for path in read_by(config)):
        for name in own.corpora:
            corpus_named(name).fetch(notify)


def train(own: Field, quick: bool, seed: int, runs: Path) -> None:
    """Runs the command of a field in a process of its own, whose output goes to a file in the runs folder.

    Raises:
      RuntimeError: the command fails.
    """
    runs.mkdir(parents=True, exist_ok=True)
    log = runs / f"{own.experiment}-{seed}.log"
    place = ("--runs", runs) if own.script is None else ("--out", scored_by_script(own, quick, seed, runs))
    words = own.command(quick, "--seed", str(seed), *map(str, place))
    command = (
        [sys.executable, "-m", *words]
        if own.script is None
        else [sys.executable, str(ROOT / words[1]), *words[2:]]
    )
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        try:
            code = process.wait()
        except (KeyboardInterrupt, Terminated) as end:
            if isinstance(end, Terminated):  # Ctrl-C reaches the run by itself.
                process.terminate()
            process.wait()  # It saves where it is.
            raise
    if code:
        printed = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise RuntimeError(f"{printed[-1] if printed else 'nothing was printed'} (exit code {code}, {log})")


def tables_of(
    chosen: Sequence[Field],
    seeds: Iterable[int],
    quick: bool,
    runs: Path,
    run: Callable[[Field, bool, int, Path], None] | None = train,
) -> tuple[dict[str, list[Metrics]], dict[str, str]]:
    """Trains what is not finished. Returns the final tables of each experiment, and why others failed.

    Every field has its first seed before one has its second: whoever stops has a whole table.

    Args:
      chosen: the fields.
      seeds: of their runs.
      quick: the small presets.
      runs: the folder of run folders.
      run: what trains a field; None: nothing is trained.
    """
    tables: dict[str, list[Metrics]] = {own.experiment: [] for own in chosen}
    failed: dict[str, str] = {}
    turns = [(seed, own) for seed in seeds for own in chosen]
    for number, (seed, own) in enumerate(turns, 1):
        if own.experiment in failed:
            continue
        label, began = f"{number} of {len(turns)}: {own.experiment}, seed {seed}", time.monotonic()
        try:
            if run is not None and own.script is None:
                fetch(own, configured(own, quick, seed)[1])
            metrics = finished(own, quick, seed, runs)
            if metrics is None and run is not None:
                notify(f"{label} …")
                before = spent()
                run(own, quick, seed, runs)
                metrics = finished(own, quick, seed, runs)
                took, busy = duration(time.monotonic() - began), duration(spent() - before)
                notify(f"{label}: {took}, {busy} of the processors")
            if metrics is not None:
                scores_of(own, [metrics])
                tables[own.experiment].append(metrics)
        except (InputError, RuntimeError) as error:
            failed[own.experiment] = str(error)
            notify(f"{label}: {error}")
    return tables, failed


def spent() -> float:
    """Returns the seconds of the processors that runs have taken so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def notify(message: str) -> None:
    """Prints on the progress, which is no part of the table."""
    print(message, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="scripts/fields.sh"
    )
    known = {own.experiment: own for own in FIELDS}
    parser.add_argument("fields", metavar="FIELD", nargs="*", help=f"of {', '.join(known)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="the small presets")
    meaning = f"runs of each field (default: {SEEDS}, {SEEDS_OF_QUICK} of the small presets)"
    parser.add_argument("--seeds", type=int, help=meaning)
    parser.add_argument("--runs", type=Path, default=Path(os.environ.get("ATTNJAX_RUNS", "runs")))
    parser.add_argument("--no-training", action="store_true", help="only read what is finished")
    options = parser.parse_args(arguments)
    if unknown := set(options.fields) - known.keys():
        parser.error(f"{', '.join(sorted(unknown))}: choose from {', '.join(known)}")
    seeds = options.seeds if options.seeds is not None else SEEDS_OF_QUICK if options.quick else SEEDS
    if seeds < 1:
        parser.error(f"--seeds is {seeds}: expected 1 or more")
    registry.discover()
    chosen = [own for own in FIELDS if not options.fields or own.experiment in options.fields]
    began, before, load = time.monotonic(), spent(), os.getloadavg()[0]
    run = None if options.no_training else train
    try:
        with sigterm_raises():
            tables, failed = tables_of(chosen, range(seeds), options.quick, options.runs, run)
    except (KeyboardInterrupt, Terminated) as end:
        notify("stopped: the same command continues from there")
        return STOPPED_BY_SIGTERM if isinstance(end, Terminated) else STOPPED_BY_CTRL_C
    print(markdown([line(own, tables[own.experiment], options.quick) for own in chosen]))
    took, busy, after = duration(time.monotonic() - began), duration(spent() - before), os.getloadavg()[0]
    notify(f"{took}, {busy} of the processors; load {load:.1f} at the beginning, {after:.1f} at the end")
    for name, reason in failed.items():
        notify(f"{name} failed: {reason}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
