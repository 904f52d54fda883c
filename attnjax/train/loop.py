"""The loop on the host: it acts between dispatches only, and never makes the device wait."""

import functools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from attnjax.config import require
from attnjax.tasks.base import AS_MADE, CountsRows
from attnjax.train.beginning import restore_or_init, with_shardings
from attnjax.train.checkpoint import Checkpoints
from attnjax.train.clock import Clock
from attnjax.train.config import TrainConfig
from attnjax.train.dispatch import Chunk, Dispatcher
from attnjax.train.distributed import hosts
from attnjax.train.metrics import MetricsFile, Row, train_row
from attnjax.train.observers.base import Observer
from attnjax.train.observers.progress import ProgressBar
from attnjax.train.optimizer import widened
from attnjax.train.prefetch import prefetched
from attnjax.train.sharding import REPLICATED, Rules, ShardingPlan
from attnjax.train.signals import interrupt_on_signals
from attnjax.train.spans import Span, spans_of
from attnjax.train.state import count_parameters, evaluation_params, initial_state
from attnjax.train.stopping import stop_step
from attnjax.train.validation import Validation

if TYPE_CHECKING:
    from attnjax.tasks.base import Task


class TrainingDiverged(RuntimeError):
    """The loss or the gradient is no longer finite. The checkpoints before that step are kept."""


@dataclass(frozen=True)
class FitResult:
    """The outcome of `fit`: the parameters after the last step, and the step of the best ones."""

    params: Any
    """After `step` updates (their moving average where `ema_decay` > 0): split over the mesh where there are
    rules, else on one device."""
    step: int
    """The last one: that of the config, or an earlier one where validations no longer got better."""
    interrupted: bool
    """SIGTERM came: everything is saved, and the same call goes on from there."""
    best: tuple[int, float] | None
    """Step and value of the best validation by the task's monitor; `load_params` reads its parameters."""
    resumed_from: int
    """The step of the checkpoint that this call started from; 0 for a fresh start."""
    seconds: float
    """Wall time from the start to the last row of training, over all starts: the last one of times.jsonl."""


def fit(
    task: "Task",
    config: TrainConfig,
    *,
    seed: int,
    folder: Path,
    hyper: Mapping[str, float] = AS_MADE,
    mesh: jax.sharding.Mesh | None = None,
    rules: Rules = REPLICATED,
    observers: Sequence[Observer] | None = None,
) -> FitResult:
    """Trains `task` to `config.steps`, or until it stops early, going on from the newest sound checkpoint.

    The weights after the last step are the result: they are what gets evaluated. The best checkpoint by
    `task.monitor` is kept beside the latest ones. `folder` gets checkpoints/, metrics.jsonl and times.jsonl.
    A run that was killed and started again ends in the same bits and the same metrics file as one that never
    stopped.

    Args:
      task: the data, the model and the loss; its `init` is traced.
      config: how long and how to train.
      seed: of the parameters and the dropout.
      folder: of this run alone.
      hyper: for the task's loss, in place of the values that the task was made with.
      mesh: of the devices that share a batch; None for one.
      rules: split parameters over the mesh by the names of their axes, for a task that `NamesAxes`.
      observers: they see every row; None shows a progress bar.

    Raises:
      InputError: the batch does not split over the mesh, or the rules split nothing along one of its axes.
      TrainingDiverged: the loss or the gradient is not finite, with the step.
    """
    plan = ShardingPlan(mesh, config, rules)
    if isinstance(task, CountsRows):
        plan.require_rows(task.row_counts)
    observers = (ProgressBar(),) if observers is None else observers
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        # The rows of the other hosts are those of process 0 again.
        rows = folder if hosts().is_main else Path(stack.enter_context(TemporaryDirectory()))
        metrics_file = MetricsFile(rows / "metrics.jsonl")
        checkpoints = stack.enter_context(_checkpoints(task, config, folder))
        interrupt = stack.enter_context(interrupt_on_signals())
        for observer in observers:
            stack.callback(observer.close)
            observer.initializing()
        thread = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="init"))
        first_step, like, state = restore_or_init(task, config, seed, plan, checkpoints, thread)
        metrics_file.cut_back(first_step)
        clock = Clock(rows)
        clock.start(first_step)
        for observer in observers:
            observer.start(first_step, config.steps, count_parameters(like.params))

        boundary = _Boundary(task, config, hyper, checkpoints, metrics_file, clock, observers, plan)
        # One that had ended early, and was stopped before its result was written, has no more steps.
        spans = [] if boundary.ended else spans_of(first_step, config)

        def load(span: Span) -> dict[str, jax.Array]:
            return plan.put_batches(stacked_batches(task, span))

        batches = stack.enter_context(prefetched(load, spans))
        dispatch = Dispatcher(task, config, hyper, seed, like, state, plan, boundary.compiled)

        # At the boundary after chunk i, in this order:
        #   1. dispatch chunk i + 1 (its batches are there), so that the device works during all that follows;
        #      a checkpoint that is due was copied on the device before, since the state is donated;
        #   2. fetch the metrics of chunk i, stop if they are not finite;
        #   3. write their row, then validate and write that row;
        #   4. start to put the rows on the disk and then to save: a checkpoint implies the rows before it.
        # A signal keeps 1 from happening: the state of chunk i is then at hand, and is saved after 4.
        # Where chunk i ends the training early, what 1 has begun is dropped: its copy is the last state.
        running: Chunk | None = None
        step, last, interrupted = first_step, None, False
        for span in spans:
            interrupted = hosts().any(interrupt.is_set())
            if interrupted or boundary.ended:
                break
            finished, running = running, dispatch(span, next(batches))
            if finished is not None:
                boundary.settle(finished)
                step, last = finished.end, finished.snapshot
        if running is not None and not boundary.ended:
            boundary.settle(running)
            step, last = running.end, None
        reached = dispatch.state if last is None else last
        checkpoints.wait()
        if step not in checkpoints.steps:
            checkpoints.save(step, reached, first=metrics_file.sync)
            checkpoints.wait()
        params = plan.readable(evaluation_params(reached))
        best = checkpoints.best
        interrupted = hosts().any(interrupted or interrupt.is_set())
    return FitResult(params, step, interrupted, best, first_step, clock.seconds)


def load_params(
    task: "Task",
    config: TrainConfig,
    *,
    folder: Path,
    best: bool = False,
    count: int = 1,
    mesh: jax.sharding.Mesh | None = None,
    rules: Rules = REPLICATED,
) -> Any:
    """The parameters of a run's newest checkpoint, or of its best one, as `fit` would return them.

    Changes nothing in the folder: a damaged newest checkpoint is passed over with a warning.

    Args:
      task: of the run.
      config: of its training.
      folder: of the run.
      best: those of the best validation in place of the newest ones.
      count: of the checkpoints, newest or best ones, whose parameters' mean is returned.
      mesh: of the devices that hold them, whatever it was in training; None for one.
      rules: split them over the mesh.

    Raises:
      FileNotFoundError: the folder has no such checkpoint.
      InputError: the best checkpoint, or one of several, is damaged; there are fewer than `count`; the newest
        one is of another model.

    References:
      Vaswani et al., Attention Is All You Need, 2017, arXiv:1706.03762 (section 6.1: the mean).
    """
    if not (folder / "checkpoints").is_dir():
        raise FileNotFoundError(f"{folder} holds no checkpoint")
    like = jax.eval_shape(functools.partial(initial_state, task, config), jax.random.key(0))
    like = with_shardings(like, task, ShardingPlan(mesh, config, rules))
    with _checkpoints(task, config, folder, read_only=True) as checkpoints:
        checkpoints.require_alike(like)
        if count > 1:
            steps = [step for step, _ in checkpoints.ranked] if best else checkpoints.steps[::-1]
            require(
                len(steps) >= count,
                f"{folder} has {len(steps)} checkpoint(s) to choose from, expected {count}: train.keep is "
                f"{config.keep}",
            )
            return _mean([evaluation_params(checkpoints.load(step, like)) for step in steps[:count]])
        if best and checkpoints.best is not None:
            return evaluation_params(checkpoints.load(checkpoints.best[0], like))
        found = None if best else checkpoints.newest(like)
    if found is None:
        raise FileNotFoundError(f"{folder} holds no {'best ' if best else ''}checkpoint")
    return evaluation_params(found[1])


def _mean(several: Sequence[Any]) -> Any:
    """Returns the mean of parameters, in their dtypes; sums are of float32 at least."""
    total = functools.reduce(functools.partial(jax.tree.map, jnp.add), map(widened, several))
    return jax.tree.map(lambda sum, own: (sum / len(several)).astype(own.dtype), total, several[0])


class _Boundary:
    """The host's work between two chunks, for the chunk that is finished."""

    def __init__(
        self,
        task: "Task",
        config: TrainConfig,
        hyper: Mapping[str, float],
        checkpoints: Checkpoints,
        metrics: MetricsFile,
        clock: Clock,
        observers: Sequence[Observer],
        plan: ShardingPlan,
    ) -> None:
        self._plan = plan
        self._monitor, self._validation, self._config = task.monitor, Validation(task), config
        self._hyper = hyper
        self._checkpoints = checkpoints
        self._metrics, self._clock = metrics, clock
        self._observers = observers
        self._compiled = False
        self.ended = self._stops()
        """True if the validations so far end the training."""

    def compiled(self, step: int, seconds: float, engines: Sequence[str]) -> None:
        """Tells of the first program; that of a shorter last chunk only concerns the clock."""
        self._clock.compiled(step)
        if not self._compiled:
            self._compiled = True
            for observer in self._observers:
                observer.compiled(seconds, engines)

    def settle(self, chunk: Chunk) -> None:
        metrics = jax.device_get(chunk.metrics)
        if reason := divergence(chunk.end, metrics):
            advice = "try a smaller train.learning_rate or a longer warm-up"
            raise TrainingDiverged(f"{reason}. The checkpoints before it are kept; {advice}")
        trained = train_row(chunk.end, metrics)
        self._write(trained)
        if chunk.snapshot is not None:
            params = self._plan.readable(evaluation_params(chunk.snapshot))
            with self._plan.reading():
                validated = self._validation.row(
                    chunk.end, params, train_loss=trained["loss"], hyper=self._hyper
                )
            self._write(validated)
            for observer in self._observers:
                observer.snapshot(chunk.end, params)
            score = validated[self._monitor[0]]
            self._checkpoints.save(chunk.end, chunk.snapshot, score, first=self._metrics.sync)
            self.ended = self._stops()

    def _stops(self) -> bool:
        if self._config.patience == 0:
            return False
        return hosts().of_main(
            lambda: stop_step(self._metrics.rows(), self._monitor, self._config) is not None
        )

    def _write(self, row: Row) -> None:
        self._metrics.append(row)
        shown = self._clock.stamped(row) if row["split"] == "train" else row
        for observer in self._observers:
            observer.row(shown)


def _checkpoints(task: "Task", config: TrainConfig, folder: Path, *, read_only: bool = False) -> Checkpoints:
    mode = task.monitor[1]
    return Checkpoints(folder / "checkpoints", keep=config.keep, mode=mode, read_only=read_only)


def stacked_batches(task: "Task", span: Span) -> dict[str, np.ndarray]:
    """The batches of a span, [K, B, …]."""
    return jax.tree.map(lambda *arrays: np.stack(arrays), *(task.batch(step) for step in range(*span)))


def divergence(end: int, metrics: dict[str, np.ndarray]) -> str | None:
    """Returns the first step of a chunk with a loss or gradient that is not finite, in words; else None."""
    finite = np.isfinite(metrics["loss"]) & np.isfinite(metrics["grad_norm"])
    if finite.all():
        return None
    index = int(np.argmin(finite))
    loss, norm = metrics["loss"][index], metrics["grad_norm"][index]
    return f"training diverged in step {end - len(finite) + index + 1}: loss {loss}, gradient norm {norm}"
