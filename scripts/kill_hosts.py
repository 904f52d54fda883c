#!/usr/bin/env python3
"""Kills one of several hosts at random moments, starts all again and compares bits with an untouched run.

    python scripts/kill_hosts.py --kills 100
    python scripts/kill_hosts.py --kills 20 --hosts 4 --what translation

The hosts are processes of this machine, each on one CPU device, of one run: `attnjax run toy --coordinator …
--hosts N --host I`, or the date translator, tiny and on few dates. The others have to end by themselves, each
with an exit code that is not 0. Exits with 1 when they do not, or a run ends in other bits or another
metrics.jsonl than one of as many hosts that was never killed.
"""

import argparse
import atexit
import os
import random
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from kill_resume import PRELOADED, PROCESSES, TOY, Outcome, print_into  # noqa: E402
from kill_resume import outcome as outcome_of  # noqa: E402

PROCESSES.set_forkserver_preload([*PRELOADED, "attnjax.tasks.translation.task"])
DATES = 240
TINY = (
    "--model.dim 8 --model.heads 2 --model.encoder_layers 1 --model.decoder_layers 1 "
    "--model.implementation reference --train.steps 24 --train.batch_size 8 --train.log_every 4 "
    "--train.checkpoint_every 8 --train.warmup_steps 2"
)
NOTHING: Mapping[int, Any] = {}
COMING_SECONDS = 30
"""A host that was killed before it met the others never comes: they wait so long for it."""
LEAVING_SECONDS = 60.0
"""How long the others may take to notice that one is gone."""


@dataclass
class Report:
    """Kills by the host that they fell on, finished runs, and what was not as it has to be."""

    kills: Counter[str] = field(default_factory=Counter)
    finished_runs: int = 0
    wrong: list[str] = field(default_factory=list)


def toy(folder: Path) -> list[str]:
    """The command for the experiment of tests/sweeps/user_folder."""
    return ["run", "toy", *TOY]


def translation(folder: Path) -> list[str]:
    """The command for the date translator, on some dates that all runs beside `folder` share."""
    corpus = folder.parent / "dates.tsv"
    if not corpus.exists():
        write_dates(corpus)
    return ["run", "translation", *TINY.split(), "--data.train", str(corpus)]


WHAT = {"toy": toy, "translation": translation}


def write_dates(file: Path) -> None:
    """Writes pairs of the date translator's own data as a corpus."""
    from attnjax.data.text.config import TranslationData
    from attnjax.data.text.dates import date_splits

    pairs = date_splits(TranslationData(locales=("de", "en_US")))["train"][:DATES]
    file.write_text("".join(f"{pair.source}\t{pair.target}\n" for pair in pairs), encoding="utf-8")


def host(folder: Path, cache: Path, command: Sequence[str], environment: Mapping[str, str]) -> None:
    """One process of a run; what it prints goes to a log in the folder."""
    os.environ.update(environment)
    import jax

    from attnjax.cli import main

    print_into(folder / f"log-{os.getpid()}")
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_compilation_cache_dir", str(cache))
    code = main(command)
    sys.stdout.flush()
    # As at the end of a program; a process of multiprocessing leaves without it.
    atexit._run_exitfuncs()
    sys.exit(code)


def start(
    folder: Path,
    hosts: int,
    what: str = "toy",
    *,
    more: Mapping[int, Sequence[str]] = NOTHING,
    environments: Mapping[int, Mapping[str, str]] = NOTHING,
    come: Collection[int] | None = None,
) -> list[Any]:
    """The processes of a run in `folder`, or of one that goes on there.

    `more` are options and `environments` variables of some of them, by their numbers; `come` those that are
    started, where it is not all.
    """
    folder.mkdir(exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as door:
        address = f"127.0.0.1:{door.getsockname()[1]}"
    started = []
    for number in range(hosts) if come is None else come:
        where = ["--devices", str(hosts), "--runs", str(folder)]
        if hosts > 1:
            where += ["--coordinator", address, "--hosts", str(hosts), "--host", str(number)]
            where += ["--host-timeout", str(COMING_SECONDS)]
        command = [*WHAT[what](folder), *where, *more.get(number, ())]
        environment = dict(environments.get(number, {}))
        process = PROCESSES.Process(target=host, args=(folder, folder.parent / "cache", command, environment))
        process.start()
        started.append(process)
    return started


def outcome(folder: Path) -> Outcome:
    """Of the only run in a folder, which is finished."""
    (run,) = folder.glob("*-*/")
    return outcome_of(run)


def run_to_the_end(folder: Path, hosts: int, what: str = "toy", **options: Any) -> Outcome:
    """Trains in `folder`, or goes on with it, without a kill."""
    codes = end(start(folder, hosts, what, **options))
    if any(codes):
        raise SystemExit(f"the hosts in {folder} ended with {codes}:\n{said(folder)}")
    return outcome(folder)


def end(processes: Sequence[Any], seconds: float | None = None) -> list[int | None]:
    """Waits for processes. Returns their exit codes, None for one that does not end in so many seconds."""
    until = None if seconds is None else time.monotonic() + seconds
    for process in processes:
        process.join(None if until is None else max(0.0, until - time.monotonic()))
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    return codes


def said(folder: Path) -> str:
    """What the hosts printed, without the chatter of their connections."""
    lines = [line for log in sorted(folder.glob("log-*")) for line in log.read_text().splitlines()]
    return "\n".join(line for line in lines if "[Gloo]" not in line)


def wait_for_rows(folder: Path, processes: Sequence[Any]) -> bool:
    """Until the run has a row; False where a process ended before."""
    while all(process.is_alive() for process in processes):
        if any(file.stat().st_size for file in folder.glob("*/metrics.jsonl")):
            return True
        time.sleep(0.01)
    return False


def kill_one(processes: Sequence[Any], victim: int) -> list[int | None]:
    """Kills one with SIGKILL. Returns how all ended."""
    processes[victim].kill()
    return end(processes, LEAVING_SECONDS)


def kill_repeatedly(
    kills: int,
    hosts: int,
    seed: int,
    folder: Path,
    what: str = "toy",
    told: Callable[[str], None] = lambda line: None,
) -> Report:
    """Kills a host of runs under `folder`, starting all again after each, and compares every finished run."""
    dice, report = random.Random(seed), Report()
    reference = run_to_the_end(folder / "reference", hosts, what)
    began = time.monotonic()
    if run_to_the_end(folder / "again", hosts, what) != reference:
        raise SystemExit("two undisturbed runs differ")
    usual = time.monotonic() - began
    while True:
        run = folder / f"run-{report.finished_runs}"
        processes = start(run, hosts, what)
        done = report.kills.total() >= kills
        victim = dice.randrange(hosts)
        if not done:
            processes[victim].join(dice.uniform(0, 1.1 * usual))
        if done or not processes[victim].is_alive():
            codes = end(processes)
            report.finished_runs += 1
            if any(codes) or outcome(run) != reference:
                report.wrong.append(f"{run} ended with {codes} in other bits or not at all: {said(run)}")
            if done:
                return report
            continue
        codes = kill_one(processes, victim)
        if codes[victim] == -signal.SIGKILL:
            report.kills[f"host {victim}"] += 1
            others = [code for number, code in enumerate(codes) if number != victim]
            finished = any(run.glob("*/result.json"))
            if not finished and any(code in (0, None) for code in others):
                report.wrong.append(f"host {victim} of {run} was killed, the others ended with {others}")
            told(f"{report.kills.total()} kills, {len(report.wrong)} wrong")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--hosts", type=int, default=2)
    parser.add_argument("--what", choices=WHAT, default="toy")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = kill_repeatedly(
            arguments.kills,
            arguments.hosts,
            arguments.seed,
            Path(folder),
            arguments.what,
            lambda line: print(line, flush=True),
        )
    for where, count in sorted(report.kills.items()):
        print(f"{count:5d} kills of {where}")
    print(f"{report.finished_runs} runs of {arguments.hosts} hosts finished; wrong: {len(report.wrong)}")
    print(*report.wrong, sep="\n")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
