"""The lanes of a pack, the trials in them, and what becomes of these."""

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attnjax.tasks.errors import TaskError, task_code
from attnjax.train.adapters import merged
from attnjax.train.checkpoint import Checkpoints
from attnjax.train.loop import divergence
from attnjax.train.metrics import MetricsFile, train_row
from attnjax.train.packs.best_params import BestParams, validations, values
from attnjax.train.packs.program import PackProgram, PackTrial
from attnjax.train.packs.round import Ended, Prune, Round
from attnjax.train.spans import Span, checkpoint_due, crosses, next_span
from attnjax.train.state import TrainState, latest_params
from attnjax.train.stopping import stop_step

FREE = -1


class PackLanes:
    """The trials in the lanes of a pack, and their steps; `fit_pack` has the order of the calls."""

    def __init__(
        self,
        program: PackProgram,
        waiting: Iterable[PackTrial],
        ended: Collection[int],
        on_begin: Callable[[PackTrial], None],
        on_end: Callable[[Ended], None],
        prune: Prune | None,
        thread: ThreadPoolExecutor,
        keep_best: bool,
        stopping: Callable[[], bool],
    ) -> None:
        self._program, self._config, self._prune = program, program.config, prune
        self._on_begin, self._on_end, self._stopping = on_begin, on_end, stopping
        self._waiting, self._skipped = iter(waiting), set(ended)
        self._lanes: dict[int, PackTrial] = {}
        self._steps: dict[int, int] = {}
        self._begun: list[int] = []
        self._running: set[int] = set()
        self._losses: dict[int, float] = {}
        self._all_begun = False
        self._clock, self._states = 0, program.empty()
        self._best = BestParams(program) if keep_best else None
        self._thread, self._batches = thread, dict[Span, Future[dict[str, np.ndarray]]]()

    @property
    def finished(self) -> bool:
        """True when every trial has ended."""
        return self._all_begun and not self._running

    def restore(self, checkpoints: Checkpoints) -> tuple[int, int]:
        """Goes on from a checkpoint; the clock, and how many steps the lanes' trials have behind them."""
        found = checkpoints.restore(self._record(self._states, {}, 0))
        if found is None:
            return 0, 0
        self._clock, saved = found
        self._states = saved["states"]
        if self._best:
            self._best.params = saved["best"]
        before = list(islice(self._waiting, int(saved["begun"])))
        self._begun = [trial.number for trial in before]
        numbers, steps = np.asarray(saved["trials"]), np.asarray(self._states.step)
        kept = {trial.number: trial for trial in before if trial.number not in self._skipped}
        for lane in range(self._program.layout.width):
            if trial := kept.get(int(numbers[lane])):
                self._enter(lane, trial, int(steps[lane]))
        behind = sum(self._steps.values())
        for lane in [lane for lane, step in self._steps.items() if step == self._config.steps]:
            if self._stopping():
                break
            self._done(lane, self._lanes.pop(lane), self._states, self._config.steps)
        return self._clock, behind

    def fill(self) -> None:
        """Gives each free lane the next trial that waits."""
        for lane in range(self._program.layout.width):
            if lane not in self._lanes and (trial := self._next()):
                self._states = self._program.begin(self._states, lane, trial.seed)
                self._enter(lane, trial, 0)

    def dispatch(self) -> Round | None:
        """Starts a chunk of every lane in use; None without any."""
        if not self._lanes:
            return None
        spans = {lane: next_span(self._steps[lane], self._config) for lane in self._lanes}
        made, failed = self._made(spans)
        lengths = {_length(span) for span in spans.values()}
        metrics = [
            self._compute([lane for lane in spans if _length(spans[lane]) == n], spans, made) for n in lengths
        ]
        start, self._clock = self._clock, self._clock + max(lengths, default=0)
        save = crosses(start, self._clock, self._config.checkpoint_every)
        copied = save or any(checkpoint_due(span, self._config) for span in spans.values())
        states = self._program.copy(self._states) if copied else None
        last = any(span.end == self._config.steps for span in spans.values())
        trials = dict(self._lanes)
        begun = len(self._begun)
        chunk = Round(self._clock, begun, trials, spans, metrics, states, failed, save, last)
        for lane, span in spans.items():
            self._steps[lane] = span.end
            if span.end == self._config.steps:
                del self._lanes[lane]
        self._prepare(spans.values())
        return chunk

    def settle(self, chunk: Round, checkpoints: Checkpoints) -> int:
        """Writes the rows of a chunk that is finished, validates where it is due, ends what has to end.

        Returns how many steps of trials it held.
        """
        for trial, step, error in chunk.failed:
            self._fail(trial, step, error)
        steps = sum(_length(span) for lane, span in chunk.spans.items() if self._runs(chunk.trials[lane]))
        self._write_rows(chunk)
        if chunk.states is not None:
            self._validate(chunk, chunk.states)
        if chunk.save:
            self._save(checkpoints, chunk.clock, chunk.states, chunk.trials, chunk.begun)
        # The save goes on beside the evaluations; a kill meanwhile costs the steps since the one before.
        for lane, trial in chunk.trials.items():
            if chunk.spans[lane].end == self._config.steps and self._runs(trial):
                if self._stopping():  # An evaluation may take minutes: the others end when the pack goes on.
                    if not chunk.save:
                        self._save(checkpoints, chunk.clock, chunk.states, chunk.trials, chunk.begun)
                    break
                self._done(lane, trial, chunk.states, self._config.steps)
        return steps

    def save_now(self, checkpoints: Checkpoints) -> None:
        """Saves where the lanes are, unless that is done."""
        checkpoints.wait()
        if self._lanes and self._clock not in checkpoints.steps:
            self._save(checkpoints, self._clock, self._states, self._lanes, len(self._begun))

    def _next(self) -> PackTrial | None:
        for trial in self._waiting:
            self._begun.append(trial.number)
            if trial.number not in self._skipped:
                return trial
        self._all_begun = True
        return None

    def _enter(self, lane: int, trial: PackTrial, step: int) -> None:
        self._on_begin(trial)
        MetricsFile(trial.metrics).cut_back(step)
        self._lanes[lane], self._steps[lane] = trial, step
        self._running.add(trial.number)

    def _compute(
        self, lanes: list[int], spans: Mapping[int, Span], made: Mapping[Span, dict[str, np.ndarray]]
    ) -> tuple[list[int], Any]:
        """Starts the chunks of these lanes, which are equally long, while the others stand still."""
        width = self._program.layout.width
        shown = [spans[lane] if lane in lanes else spans[lanes[0]] for lane in range(width)]
        alive = self._program.lanes([self._lanes.get(lane) for lane in range(width)], lanes)
        with task_code("training"):
            batches = self._program.batches(shown, made.__getitem__)
            self._states, metrics = self._program.chunk(self._states, batches, alive)
        return lanes, metrics

    def _made(
        self, spans: dict[int, Span]
    ) -> tuple[dict[Span, dict[str, np.ndarray]], list[tuple[PackTrial, int, TaskError]]]:
        """The batches of each lane's span, and the trials without: they leave their lanes, and `spans`."""
        made, failed = {}, []
        for span in set(spans.values()):
            ready = self._batches.get(span)
            try:
                with task_code("batch"):
                    made[span] = ready.result() if ready else self._program.host_batches(span)
            except TaskError as error:
                for lane in [lane for lane, own in spans.items() if own == span]:
                    del spans[lane]
                    failed.append((self._lanes.pop(lane), self._steps[lane], error))
        return made, failed

    def _prepare(self, spans: Iterable[Span]) -> None:
        """Begins to make the next batches of these lanes, or of the trials that take their places."""
        following = {next_span(span.end % self._config.steps, self._config) for span in spans}
        self._batches = {
            span: self._batches.get(span) or self._thread.submit(self._program.host_batches, span)
            for span in following
        }

    def _runs(self, trial: PackTrial) -> bool:
        return trial.number in self._running

    def _write_rows(self, chunk: Round) -> None:
        for lanes, found in chunk.metrics:
            with task_code("training"):
                metrics = jax.device_get(found)
            for lane in lanes:
                trial, end = chunk.trials[lane], chunk.spans[lane].end
                own = {name: values[lane] for name, values in metrics.items()}
                if not self._runs(trial):
                    continue
                if reason := divergence(end, own):
                    self._end(Ended(trial, "failed", end, _last_validation(trial), reason))
                else:
                    row = train_row(end, own)
                    self._losses[trial.number] = row["loss"]
                    MetricsFile(trial.metrics).append(row)

    def _validate(self, chunk: Round, states: TrainState) -> None:
        validated = {}
        for lane, trial in chunk.trials.items():
            span = chunk.spans[lane]
            if self._runs(trial) and checkpoint_due(span, self._config):
                params = self._program.take(latest_params(states), lane)
                try:
                    with task_code("validate"):
                        found = self._program.validation.row(
                            span.end,
                            merged(params),
                            train_loss=self._losses[trial.number],
                            hyper=self._program.hyper(trial),
                        )
                except TaskError as error:
                    self._fail(trial, span.end, error)
                    continue
                MetricsFile(trial.metrics).append(found)
                if self._best:
                    self._best.validated(lane, trial, span.end, params)
                if span.end < self._config.steps and self._stops(trial):
                    self._done(lane, trial, states, span.end)
                else:
                    validated[trial.number] = span.end
        going_on = {number: step for number, step in validated.items() if step < self._config.steps}
        if self._prune and going_on:
            ended = set(self._begun) - self._running
            stopped = self._prune(going_on, set(self._running), ended) & going_on.keys()
            for trial in [trial for trial in chunk.trials.values() if trial.number in stopped]:
                step = going_on[trial.number]
                validation = _last_validation(trial)
                self._end(Ended(trial, "pruned", step, validation, f"pruned at step {step}"))

    def _stops(self, trial: PackTrial) -> bool:
        """Returns True if the validations of a trial end it early."""
        monitor, config = self._program.task.monitor, trial.config
        return config.patience > 0 and stop_step(validations(trial), monitor, config) is not None

    def _done(self, lane: int, trial: PackTrial, states: TrainState | None, step: int) -> None:
        state = self._program.take(states, lane)
        best = self._best.of(lane, trial) if self._best else None
        self._end(Ended(trial, "done", step, _last_validation(trial), state=state, best=best))

    def _fail(self, trial: PackTrial, step: int, error: TaskError) -> None:
        if self._runs(trial):
            validation, details = _last_validation(trial), error.details
            self._end(Ended(trial, "failed", step, validation, str(error), details=details))

    def _end(self, end: Ended) -> None:
        self._on_end(end)
        self._running.discard(end.trial.number)
        self._lanes = {lane: trial for lane, trial in self._lanes.items() if trial is not end.trial}

    def _save(
        self,
        checkpoints: Checkpoints,
        clock: int,
        states: TrainState | None,
        trials: Mapping[int, PackTrial],
        begun: int,
    ) -> None:
        running = {lane: trial for lane, trial in trials.items() if self._runs(trial)}
        files = [MetricsFile(trial.metrics) for trial in running.values()]

        def sync() -> None:
            for file in files:
                file.sync()

        checkpoints.save(clock, self._record(states, running, begun), first=sync)

    def _record(
        self, states: TrainState | None, trials: Mapping[int, PackTrial], begun: int
    ) -> dict[str, Any]:
        """Returns a checkpoint's content: the states, each lane's trial, the number of trials begun.

        In a pack that keeps them, the best parameters too.
        """
        lanes = range(self._program.layout.width)
        numbers = [trials[lane].number if lane in trials else FREE for lane in lanes]
        record = {"states": states, "trials": jnp.array(numbers, jnp.int32), "begun": jnp.int32(begun)}
        return {**record, "best": self._best.copy()} if self._best else record


def _length(span: Span) -> int:
    return span.end - span.start


def _last_validation(trial: PackTrial) -> dict[str, float]:
    """The values of the newest validation; none before the first."""
    rows = validations(trial)
    return values(rows[-1]) if rows else {}
