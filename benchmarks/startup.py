"""How long a user waits: for `attnjax --help` and `list`, and for the first training step.

    python benchmarks/startup.py [--rounds 3]

Each figure is a whole process. The first step is measured with an empty compilation cache (cold) and again
with the cache that this filled (warm): from the start of `attnjax run translation` to the first row of its
metrics, in a fresh folder of runs. Beside them stand `python -c pass`, `import jax` and the import of what a
hand-written program needs, `import jax, flax, optax`, below which nobody can go. The time of the processors
is kept too, which others who use the machine stretch less. About 3 minutes on two idle cores.
"""

import argparse
import functools
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from _measure import alternate, machine, report, seconds, summary

FIRST_STEP_OVERRIDES = ["--train.log_every", "1"]
DEADLINE = 300.0
BARE = "import jax, flax, optax"


def attnjax(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("attnjax")), *arguments]


def environment(work: Path) -> dict[str, str]:
    """Ours with caches of its own, and with byte code, which a user has from the second start on."""
    ours = {
        k: v
        for k, v in os.environ.items()
        if k not in ("JAX_COMPILATION_CACHE_DIR", "PYTHONDONTWRITEBYTECODE")
    }
    return ours | {"XDG_CACHE_HOME": str(work / "cache")}


def processor_seconds() -> float:
    """Of all processes that we started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def whole_process(command: list[str], work: Path) -> Callable[[], float]:
    def once() -> float:
        run = functools.partial(subprocess.run, check=True, stdout=subprocess.DEVNULL, env=environment(work))
        return seconds(lambda: run(command))

    return once


def time_to_first_step(work: Path) -> float:
    """From the start of a new run to its first metrics row; the run is then killed and its folder removed."""
    runs = work / "runs"
    command = attnjax("run", "translation", *FIRST_STEP_OVERRIDES, "--runs", str(runs))
    start = time.perf_counter()
    with (work / "log").open("w") as log:
        process = subprocess.Popen(
            command, env=environment(work), stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        while not any(file.stat().st_size for file in runs.glob("*/metrics.jsonl")):
            if process.poll() is not None or time.perf_counter() - start > DEADLINE:
                raise RuntimeError(f"{' '.join(command)} made no step:\n{(work / 'log').read_text()}")
            time.sleep(0.005)
        return time.perf_counter() - start
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(runs, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    about = machine()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)

        def cold() -> float:
            shutil.rmtree(work / "cache", ignore_errors=True)
            return time_to_first_step(work)

        warm = functools.partial(time_to_first_step, work)
        cold()  # The cache of a first warm start.

        cases: dict[str, Callable[[], float]] = {
            "python -c pass": whole_process([sys.executable, "-c", "pass"], work),
            "attnjax --help": whole_process(attnjax("--help"), work),
            "attnjax list": whole_process(attnjax("list"), work),
            "import jax": whole_process([sys.executable, "-c", "import jax"], work),
            BARE: whole_process([sys.executable, "-c", BARE], work),
            "first step, cold cache": cold,
            "first step, warm cache": warm,
        }
        used: dict[str, list[float]] = {name: [] for name in cases}

        def counted(name: str) -> float:
            before = processor_seconds()
            taken = cases[name]()
            used[name].append(processor_seconds() - before)
            return taken

        times = alternate({name: functools.partial(counted, name) for name in cases}, rounds)
    more = {"processor_seconds": summary(used, BARE)}
    for name, row in more["processor_seconds"].items():
        print(f"{name}: {row['median_s']:.2f} s of the processors, {row['ratio']:.2f} times {BARE}")
    report("startup", summary(times, BARE), about, note=f"ratio: to `{BARE}` of the same round", more=more)


if __name__ == "__main__":
    main()
