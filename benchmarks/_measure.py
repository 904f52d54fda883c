"""Side-by-side measurement: cases take turns, so that a machine that slows down slows all of them.

Of each case, the median is reported, and the median over rounds of its ratio to the baseline of that round.
"""

import json
import os
import platform
import re
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from attnjax.runs.provenance import versions

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"

Times = dict[str, list[float]]


def plain_environment() -> dict[str, str]:
    """The environment for another interpreter, which is to find its own packages alone."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def seconds(run: Callable[[], object]) -> float:
    """Wall-clock seconds of one call. For jax, `run` must end with `block_until_ready`."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def alternate(cases: Mapping[str, Callable[[], float]], rounds: int, calls: int = 1) -> Times:
    """Every case once a round, in an order that turns from round to round; a case returns its own seconds.

    In its turn a case is called so many times, and the last call counts: after a first one it finds neither
    the caches nor the processors as another case, whose threads spin for a while, has left them.
    """
    times: Times = {name: [] for name in cases}
    order = list(cases)
    for number in range(rounds):
        for name in order:
            *_, last = [cases[name]() for _ in range(calls)]
            times[name].append(last)
        order = order[1:] + order[:1]
        print(f"round {number + 1} of {rounds} done", file=sys.stderr, flush=True)
    return times


def summary(times: Times, baseline: str | None = None) -> dict[str, dict[str, Any]]:
    """Median, extremes and rounds of each case in seconds; its ratio to the baseline (below 1: faster).

    The ratio is the median over rounds, with its extremes.

    >>> summary({"ours": [2.0, 4.0, 3.0], "theirs": [1.0, 4.0, 2.0]}, "theirs")["ours"]["ratio"]
    1.5
    """
    table: dict[str, dict[str, Any]] = {}
    for name, values in times.items():
        table[name] = {
            "median_s": round(statistics.median(values), 7),
            "min_s": round(min(values), 7),
            "max_s": round(max(values), 7),
            "rounds_s": [round(value, 7) for value in values],
        }
        if baseline is not None:
            ratios = [ours / theirs for ours, theirs in zip(values, times[baseline], strict=True)]
            table[name] |= _ratio(ratios)
    return table


def versus(times: Times, case: str) -> dict[str, dict[str, float]]:
    """The ratio of one case to each other case, by rounds: median, least and greatest.

    >>> versus({"ours": [2.0, 4.0, 3.0], "theirs": [1.0, 4.0, 2.0]}, "ours")
    {'theirs': {'ratio': 1.5, 'ratio_min': 1.0, 'ratio_max': 2.0}}
    """
    return {
        other: _ratio([a / b for a, b in zip(times[case], values, strict=True)])
        for other, values in times.items()
        if other != case
    }


def _ratio(ratios: list[float]) -> dict[str, float]:
    middle, least, greatest = statistics.median(ratios), min(ratios), max(ratios)
    return {"ratio": round(middle, 4), "ratio_min": round(least, 4), "ratio_max": round(greatest, 4)}


def machine(packages: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a figure depends on: processor, cores, memory, system, versions (of `packages` too), commit."""
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions() | {package: version(package) for package in packages},
        "commit": commit.stdout.strip() or None,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def report(
    name: str,
    cases: dict[str, dict[str, Any]],
    about: dict[str, Any],
    note: str = "",
    more: Mapping[str, Any] | None = None,
) -> Path:
    """Prints the table; keeps it with `about` (from `machine()`, before measuring) as results/NAME.json.

    `more` is kept beside it.
    """
    table = Table(title=name, caption=note or None)
    times = ("median_s", "min_s", "max_s", "ratio", "ratio_min", "ratio_max")
    every = list(dict.fromkeys(name for row in cases.values() for name in row))
    columns = [name for name in times if name in every] or every
    table.add_column("case")
    for column in columns:
        table.add_column(re.sub("_s$", " (s)", column).replace("_", " "), justify="right")
    for case, row in cases.items():
        table.add_row(case, *(f"{row[column]:.3f}" for column in columns))
    Console().print(table)

    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}.json"
    content = {
        "benchmark": name,
        "command": shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "note": note,
        "cases": cases,
        **(more or {}),
        "machine": about,
    }
    file.write_text(json.dumps(content, indent=2) + "\n")
    print(f"kept in {file.relative_to(ROOT)}")
    return file
