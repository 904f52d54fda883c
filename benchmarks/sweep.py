"""What a sweep costs: 64 trials of one shape, by us and by the ways in which people run them.

    pip install 'ray[tune]'; python benchmarks/sweep.py [--trials 64] [--rounds 1] [--only ours 'ideal loop']

Learning rate × weight decay × dropout × seed on benchmarks/sweep_folder/lookup.py: 34k parameters, 300 steps
of 32 examples. Whole processes are timed, from the command to the last result.

    ours         attnjax sweep, with the compiled programs that earlier sweeps have kept
    ours, new    the same with an empty cache of compiled programs, as on the first day
    processes    attnjax run, a process per trial, two at a time, with those programs
    optuna       two processes that share a study; a jit per trial
    ray tune     two workers; a jit per trial
    fresh jit    one process, a jit per trial whose hyperparameters are constants, on one device
    ideal loop   one process, one compiled step that all trials reuse, one after another, on one device
"""

import argparse
import importlib.util
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from _measure import alternate, machine, report, seconds, summary

FOLDER = Path(__file__).parent / "sweep_folder"
AXES: dict[str, list[Any]] = {
    "train.learning_rate": [1e-3, 2e-3, 4e-3, 8e-3],
    "train.weight_decay": [0.0, 0.01, 0.03, 0.1],
    "train.dropout": [0.0, 0.1],
    "seed": [0, 1],
}
COMMAND = [sys.executable, "-m", "attnjax"]
PLACE = ["--experiments", str(FOLDER)]


def trials(count: int) -> list[dict[str, Any]]:
    """The first trials of the grid."""
    grid = itertools.product(*AXES.values())
    return [dict(zip(AXES, values, strict=True)) for values in itertools.islice(grid, count)]


def ours(count: int, *, new: bool = False) -> float:
    axes = {name: list(dict.fromkeys(trial[name] for trial in trials(count))) for name in AXES}
    grid = [f"{name}={','.join(map(str, values))}" for name, values in axes.items()]
    return _timed([[*COMMAND, "sweep", "lookup", "--grid", *grid, *PLACE]], new=new)


def processes(count: int) -> float:
    options = [[f"--{name}={value}" for name, value in trial.items()] for trial in trials(count)]
    return _timed([[*COMMAND, "run", "lookup", *one, "--devices", "1", *PLACE] for one in options])


def by_hand(*calls: str) -> float:
    """Functions of this file, each in a process of its own, all in one folder."""
    return _timed([[sys.executable, "-c", f"import sweep; sweep.{call}"] for call in calls])


def train(trial: dict[str, Any], shared: Any = None) -> float:
    """Trains one trial as a careful user would without a framework for sweeps; its accuracy.

    `shared`: a compiled step that takes the hyperparameters; else one is compiled with them as constants.
    """
    import dataclasses

    import jax
    from lookup import Lookup

    from attnjax.train.rngs import Stream, stream_key
    from attnjax.train.state import init_state
    from attnjax.train.step import make_train_step, traced_values

    task = Lookup().task()
    values = {name.rpartition(".")[2]: value for name, value in trial.items()}
    key = jax.random.key(values.pop("seed"))
    config = dataclasses.replace(Lookup().train, **values)
    traced, step = traced_values(config, {}), shared
    if shared is None:
        one = make_train_step(task.loss, config)
        fixed = jax.jit(lambda state, batch, key: one(state, batch, traced, key), donate_argnums=0)
        step = lambda state, batch, traced, key: fixed(state, batch, key)  # noqa: E731
    state = init_state(task.init(stream_key(key, Stream.INIT)), config)
    for at in range(config.steps):
        state, _ = step(state, task.batch(at), traced, key)
    return task.validate(state.params)["accuracy"]


def in_turn(count: int, *, reuse: bool) -> None:
    """One trial after another, with one compiled step for all or one for each."""
    import jax
    from lookup import Lookup

    from attnjax.train.step import make_train_step

    task, config = Lookup().task(), Lookup().train
    shared = jax.jit(make_train_step(task.loss, config), donate_argnums=0) if reuse else None
    for trial in trials(count):
        train(trial, shared)


def with_optuna(mine: list[dict[str, Any]]) -> None:
    """Some of the trials of a study that another process shares."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    storage = optuna.storages.JournalStorage(JournalFileBackend("study.log"))
    study = optuna.create_study(study_name="sweep", storage=storage, load_if_exists=True)
    for trial in mine:
        study.enqueue_trial(trial)

    def objective(asked: Any) -> float:
        return train({name: asked.suggest_categorical(name, values) for name, values in AXES.items()})

    study.optimize(objective, n_trials=len(mine))


def with_ray_tune(count: int) -> None:
    import ray
    from ray import tune

    ray.init(address="local", num_cpus=2, include_dashboard=False)
    resources = tune.with_resources(lambda one: {"accuracy": train(one["trial"])}, {"cpu": 1})
    space = {"trial": tune.grid_search(trials(count))}
    config = tune.TuneConfig(max_concurrent_trials=2)
    results = tune.Tuner(resources, param_space=space, tune_config=config).fit()
    assert len(results) == count
    assert not results.errors, results.errors


def _timed(commands: list[list[str]], *, new: bool = False) -> float:
    """Seconds for all commands, two at a time, in a folder of their own; `new`: with an empty cache."""
    found = os.environ.get("PYTHONPATH", "")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(FOLDER.parent), str(FOLDER), found])}
    with tempfile.TemporaryDirectory() as folder:
        environment |= {"XDG_CACHE_HOME": folder} if new else {}

        def run(command: list[str]) -> None:
            done = subprocess.run(
                command, cwd=folder, env=environment, check=False, capture_output=True, text=True
            )
            if done.returncode:
                raise SystemExit(done.stderr)

        def work() -> None:
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(run, commands))

        return seconds(work)


def cases(count: int) -> Iterator[tuple[str, Any]]:
    yield "ours", lambda: ours(count)
    yield "ours, new", lambda: ours(count, new=True)
    yield "processes", lambda: processes(count)
    yield "optuna", lambda: by_hand(*(f"with_optuna(sweep.trials({count})[{i}::2])" for i in (0, 1)))
    if importlib.util.find_spec("pandas") and importlib.util.find_spec("pyarrow"):
        yield "ray tune", lambda: by_hand(f"with_ray_tune({count})")
    else:
        print("ray tune is left out: pip install 'ray[tune]' brings what it needs")
    yield "fresh jit", lambda: by_hand(f"in_turn({count}, reuse=False)")
    yield "ideal loop", lambda: by_hand(f"in_turn({count}, reuse=True)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, choices=(4, 16, 64), default=64)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="+", metavar="CASE", help="of the cases above, in quotes")
    parser.add_argument("--name", default="sweep", help="of the file of results")
    options = parser.parse_args()
    chosen = {name: case for name, case in cases(options.trials) if name in (options.only or [name])}
    about = machine(())
    rows = summary(alternate(chosen, options.rounds), baseline="ours")
    report(options.name, rows, about, f"{options.trials} trials; ratio: to ours")


if __name__ == "__main__":
    main()
