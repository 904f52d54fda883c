"""What a sweep costs: 64 trials of one shape, by us and by the ways in which people run them.

    python benchmarks/sweep.py [--trials 64] [--rounds 1]

Learning rate × weight decay × dropout × seed on benchmarks/sweep_folder/recall.py: 34k parameters, 300 steps
of 32 examples. Whole processes are timed, from the command to the last result.

    ours         attnjax sweep
    processes    attnjax run, a process per trial, two at a time (with our cache of compiled programs)
    fresh jit    one process, a jit per trial whose hyperparameters are constants, on one device
    ideal loop   one process, one compiled step that all trials reuse, one after another, on one device
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

from _measure import alternate, machine, report, seconds, summary

FOLDER = Path(__file__).parent / "sweep_folder"
AXES: dict[str, list[Any]] = {
    "train.learning_rate": [1e-3, 2e-3, 4e-3, 8e-3],
    "train.weight_decay": [0.0, 0.01, 0.03, 0.1],
    "train.dropout": [0.0, 0.1],
    "seed": [0, 1],
}
COMMAND = [sys.executable, "-m", "attnjax.cli"]
PLACE = ["--experiments", str(FOLDER)]


def trials(count: int) -> list[dict[str, Any]]:
    """The first trials of the grid."""
    grid = itertools.product(*AXES.values())
    return [dict(zip(AXES, values, strict=True)) for values in itertools.islice(grid, count)]


def ours(count: int) -> float:
    axes = {name: list(dict.fromkeys(trial[name] for trial in trials(count))) for name in AXES}
    grid = [f"{name}={','.join(map(str, values))}" for name, values in axes.items()]
    return _timed([[*COMMAND, "sweep", "recall", "--grid", *grid, *PLACE]])


def processes(count: int) -> float:
    options = [[f"--{name}={value}" for name, value in trial.items()] for trial in trials(count)]
    return _timed([[*COMMAND, "run", "recall", *one, "--devices", "1", *PLACE] for one in options])


def in_one_process(how: str, count: int) -> float:
    code = f"import sweep; sweep.hand_written({how!r}, {count})"
    return _timed([[sys.executable, "-c", code]], cwd=Path(__file__).parent)


def hand_written(how: str, count: int) -> None:
    """Trains the trials one after another, as a careful user would without a framework for sweeps."""
    import dataclasses

    import jax

    from attnjax.train.optimizer import hyperparameters
    from attnjax.train.rngs import Stream, stream_key
    from attnjax.train.state import init_state
    from attnjax.train.step import make_train_step

    sys.path.append(str(FOLDER))
    from recall import Recall

    config = Recall()
    task = config.task()
    shared = jax.jit(make_train_step(task.loss, config.train), donate_argnums=0)
    for trial in trials(count):
        values = {name.rpartition(".")[2]: value for name, value in trial.items()}
        key = jax.random.key(values.pop("seed"))
        train = dataclasses.replace(config.train, **values)
        hyper, step = hyperparameters(train), cast(Any, shared)
        if how == "fresh jit":
            one = make_train_step(task.loss, train)
            fixed = jax.jit(lambda s, b, k, one=one, hyper=hyper: one(s, b, hyper, k), donate_argnums=0)
            step = lambda s, b, hyper, k, fixed=fixed: fixed(s, b, k)  # noqa: E731
        state = init_state(task.init(stream_key(key, Stream.INIT)), ema=False)
        for at in range(train.steps):
            state, _ = step(state, task.batch(at), hyper, key)
        task.validate(state.params)


def _timed(commands: list[list[str]], cwd: Path | None = None) -> float:
    """Seconds for all commands, two at a time, in a folder of their own."""
    with tempfile.TemporaryDirectory() as folder:

        def run(command: list[str]) -> None:
            where = cwd or folder
            subprocess.run(command, cwd=where, check=True, capture_output=True)

        def work() -> None:
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(run, commands))

        return seconds(work)


def cases(count: int) -> Iterator[tuple[str, Any]]:
    yield "ours", lambda: ours(count)
    yield "processes", lambda: processes(count)
    for how in ("fresh jit", "ideal loop"):
        yield how, lambda how=how: in_one_process(how, count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, choices=(4, 16, 64), default=64)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    rows = summary(alternate(dict(cases(options.trials)), options.rounds), baseline="ours")
    report("sweep", rows, machine(()), f"{options.trials} trials; ratio: to ours")


if __name__ == "__main__":
    main()
