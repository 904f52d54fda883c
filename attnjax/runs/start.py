"""One run from config to result: claim the folder, train (or go on training), evaluate, keep the result."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from attnjax.config import RunFailed, loss_fields
from attnjax.experiment.registry import Experiment
from attnjax.experiment.serialize import encode
from attnjax.runs import provenance, store
from attnjax.runs.devices import start_jax
from attnjax.runs.garbage import nothing_to_collect
from attnjax.runs.hosts import require_same_devices, require_same_program, require_shared
from attnjax.runs.placement import Placement, place, require_splits, wish_of
from attnjax.runs.provenance import Notify
from attnjax.runs.results import of_evaluation, of_training
from attnjax.runs.showing import show_finished, show_result, sinks_of
from attnjax.runs.sources import task_of
from attnjax.runs.store import Run
from attnjax.runs.weights import default_weights, read_weights
from attnjax.runs.working_copy import shown
from attnjax.tasks.errors import TaskError, said_of
from attnjax.train.distributed import hosts
from attnjax.train.mesh import write_rules
from attnjax.train.observers.base import Observer

if TYPE_CHECKING:
    from attnjax.train.loop import FitResult
    from attnjax.train.observers.sinks import Sink

Weights = Literal["best", "last"]
SECONDS_BEFORE_FIRST_LINE = 2.0
"""Seconds. A bad corpus is one line, the error; a large one says before it is read what is begun."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run. An interrupted run has no result, and its next start continues from `step`."""

    run: Run
    result: dict[str, Any] | None
    step: int
    stored: bool = False
    """The result was there before: nothing ran."""


def run(
    experiment: Experiment,
    config: Any,
    *,
    runs: Path,
    devices: int | None = None,
    mesh: str | None = None,
    rules: str | None = None,
    sinks: Sequence[str] = (),
    watch: Sequence[str] = (),
    accept_changed_code: bool = False,
    fresh: bool = False,
    weights: str | None = None,
    notify: Notify = print,
) -> Outcome:
    """Runs `config` in its folder under `runs`, or shows at once what a finished run stored.

    An unfinished run continues from its last checkpoint, on the mesh that it began with (it decides the order
    of sums, so the bits), unless `devices`, `mesh` ("data=4,model=2") or `rules` ("fsdp") ask for another. A
    `fresh` one begins anew, and the folder of the one before is renamed.
    Nothing is written before the config and the data are known to be good. `weights` says which are
    evaluated: those after the last step ("last"), of the best validation, or the mean of several checkpoints
    ("last:5", "best:5"); None: what the experiment says, or the last. A run that was finished with others is
    evaluated again. The attention of layers that `watch` names is written at each checkpoint, for a few
    inputs. `notify` gets notes for the user: the task's `notes`, and versions and devices that differ from
    those of the previous start.

    On several hosts (`attnjax.train.distributed.joined`) all call this with the same arguments, and `runs`
    lies where all of them see it. Process 0 alone writes there and notifies.

    Raises InputError for what the user can mend: bad data, a folder that cannot be written or belongs to
    another config, a run that another process works on, one whose code has changed unless that is accepted.
    """
    read_weights(weights or default_weights(config))
    config = absolute_paths(config)
    main = hosts().is_main
    notify = notify if main else unsaid
    options = {"--devices": devices, "--mesh": mesh, "--rules": rules, "--fresh": fresh, "--weights": weights}
    require_same_program(experiment, config, options)
    this = store.run_for(experiment, config, runs)
    this.check_owner(experiment, config)
    # What is there, process 0 says to all: they would not see it at one moment.
    going_on, trained = hosts().of_main(lambda: [this.started and not fresh, this.trained and not fresh])
    trained, before = going_on and trained, None
    if trained:
        if main:
            provenance.require_same_code(this, experiment, accept=accept_changed_code, notify=notify)
        before = hosts().of_main(this.result)
    if before is not None and weights in (None, before["weights"]):
        if main:
            show_finished(this, before, sinks)
        return Outcome(this, before, before["step"], stored=True)
    store.check_writable(runs)
    with ExitStack() as stack:
        stack.enter_context(_task_errors())
        begun = stack.enter_context(nothing_to_collect())
        if main and this.started:
            stack.enter_context(this.lock())
        began = hosts().of_main(lambda: _first_start(this)) if going_on else None
        wish = wish_of(config, devices=devices, mesh=mesh, rules=rules, began=began)
        began_with = began["devices"] if began else None
        start_jax(wish.count or began_with)
        require_same_devices()
        placement = place(config, wish, began_with, notify)
        from attnjax.tasks.rehearsal import rehearse
        from attnjax.train.frozen import require_matches

        with _said_at_latest(notify, _first_line(this, config, placement)):
            task: Any = task_of(config, this.folder if trained else None)
            if not trained:
                params = rehearse(task, loss_fields(config))
                require_matches(config.train, params)
                require_splits(task, config.train, params, placement)
            watching = _watching(task, watch, this)
        for note in getattr(task, "notes", ()):
            notify(note)
        if begun_with := getattr(task, "begun", None):
            notify(f"from {config.train.init_from}: {begun_with}")
        if main and this.started and fresh:
            notify(f"the run before is kept as {store.set_aside(this.folder)}")
        if main and not going_on:
            store.prepare_folder(this.folder)
            stack.enter_context(this.lock())
        if main and not trained:
            task.save(this.folder)
        if main:
            # A run that began when the config had fewer fields keeps from now on the values it goes on with.
            if not going_on or this.record()["config"] != encode(config):
                this.write_config(experiment, config)
            record = provenance.collect(experiment, seed=config.seed, **placement.record)
            provenance.record_start(this, record, notify)
        require_shared(this.config_file)
        shown = sinks_of(sinks if main else (), this, stack)
        for watch_of_layers in watching:
            watch_of_layers.show_in(shown)
        observers = [*_observers(shown, begun), *watching] if main else [_Begun(begun)]
        fitted = train(task, config, this.folder, placement, observers)
        if fitted.interrupted:
            return Outcome(this, None, fitted.step)
        if fitted.step < config.train.steps:
            notify(
                f"stopped early at step {fitted.step} of {config.train.steps}: "
                f"no better {task.monitor[0]} in {config.train.patience} validations"
            )
        notify("evaluating")
        result = {
            **of_training(task, fitted, config.train.steps),
            **(before or {}),
            **of_evaluation(this, task, config, fitted, weights, placement),
        }
        if main:
            store.write_json(this.result_file, result)
            show_result(this, result, shown)
        return Outcome(this, hosts().of_main(this.result), fitted.step)


def unsaid(message: str) -> None:
    """Notes of the other hosts are those of process 0 again."""


def _first_start(this: Run) -> dict[str, Any] | None:
    """Returns what is recorded of the start that a run began with."""
    starts = provenance.starts(this)
    return starts[0] if starts else None


@contextmanager
def _task_errors() -> Iterator[None]:
    """A task that is not what training needs is one line, code of its own that fails its own traceback."""
    try:
        yield
    except TaskError as error:
        raise said_of(error) from None


def _first_line(this: Run, config: Any, placement: Placement) -> str:
    """Returns the line that describes a run before its data is read."""
    import jax

    steps, warmup, shape = config.train.steps, config.train.warmup_steps, placement.shape
    plain = shape.devices == shape.data and not placement.rules
    how = "" if plain else f" ({shape}, rules {write_rules(placement.rules)})"
    return (
        f"{this.name} in {shown(this.folder)}: {steps} steps ({warmup} of them warm-up) "
        f"on {shape.devices} {jax.default_backend()} device(s){how}"
    )


@contextmanager
def _said_at_latest(notify: Notify, line: str) -> Iterator[None]:
    """Notifies with `line` after SECONDS_BEFORE_FIRST_LINE, or after the block if that ends earlier."""
    first = threading.Lock()

    def now() -> None:
        if first.acquire(blocking=False):
            notify(line)

    timer = threading.Timer(SECONDS_BEFORE_FIRST_LINE, now)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    now()


def train(
    task: Any,
    config: Any,
    folder: Path,
    placement: Placement,
    observers: Sequence[Any] | None = None,
) -> "FitResult":
    """Trains in `folder`, which may hold a part of the work already. Raises RunFailed when it diverges."""
    from attnjax.train.loop import TrainingDiverged, fit

    try:
        return fit(
            task,
            config.train,
            seed=config.seed,
            folder=folder,
            hyper=loss_fields(config),
            mesh=placement.mesh(),
            rules=placement.rules,
            observers=observers,
        )
    except TrainingDiverged as error:
        raise RunFailed(str(error)) from error


def absolute_paths(config: Any) -> Any:
    """The config with every path made absolute: a stored config is read from other directories as well."""
    if not is_dataclass(config) or isinstance(config, type):
        return config.absolute() if isinstance(config, Path) else config
    return replace(
        config, **{f.name: absolute_paths(getattr(config, f.name)) for f in fields(config) if f.init}
    )


class _Begun(Observer):
    """Calls a function when the program is compiled."""

    def __init__(self, begun: Callable[[], None]) -> None:
        self._begun = begun

    def compiled(self, seconds: float, engines: Sequence[str]) -> None:
        self._begun()


def _observers(sinks: "Sequence[Sink]", begun: Callable[[], None]) -> list[Any]:
    """Returns those of a run; `begun` is called when its program is compiled."""
    from attnjax.train.observers.progress import ProgressBar

    return [ProgressBar(), _Begun(begun), *sinks]


def _watching(task: Any, paths: Sequence[str], this: Run) -> list[Any]:
    """Returns the observer that writes maps of these layers. Raises InputError where there is none."""
    if not paths:
        return []
    from attnjax.train.observers.watch import Watch

    return [Watch(task, paths, this.folder / "watched")]
