"""How long a user waits: for `attnjax --help` and `list`, and for the first training step.

    python benchmarks/startup.py [--rounds 5]

Each figure is a whole process. The first step is measured with an empty compilation cache (cold) and again
with the cache that this filled (warm): from the start of `attnjax run translation` to the first row of its
metrics. Beside them stand `python -c pass` and `import jax`, below which nobody can go. About 3 minutes on an
idle machine.
"""

import argparse
import os
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


def attnjax(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("attnjax")), *arguments]


def whole_process(command: list[str]) -> Callable[[], float]:
    def once() -> float:
        return seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))

    return once


def time_to_first_step(work: Path) -> float:
    """From the start of a new run to its first metrics row; the run is then killed and its folder removed."""
    runs = work / "runs"
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    environment["XDG_CACHE_HOME"] = str(work / "cache")
    command = attnjax("run", "translation", *FIRST_STEP_OVERRIDES, "--runs", str(runs))
    start = time.perf_counter()
    with (work / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
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
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    about = machine()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)

        def cold() -> float:
            shutil.rmtree(work / "cache", ignore_errors=True)
            return time_to_first_step(work)

        def warm() -> float:
            if not (work / "cache").exists():
                cold()
            return time_to_first_step(work)

        cases = {
            "python -c pass": whole_process([sys.executable, "-c", "pass"]),
            "attnjax --help": whole_process(attnjax("--help")),
            "attnjax list": whole_process(attnjax("list")),
            "import jax": whole_process([sys.executable, "-c", "import jax"]),
            "first step, cold cache": cold,
            "first step, warm cache": warm,
        }
        times = alternate(cases, rounds)
    report("startup", summary(times, "import jax"), about, note="ratio: to `import jax` of the same round")


if __name__ == "__main__":
    main()
