"""Many trials trained together: they share one compiled program, the data and the checkpoints."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from attnjax.train.checkpoint import Checkpoints
from attnjax.train.config import TrainConfig
from attnjax.train.interrupt import interrupt_on_signals
from attnjax.train.loop import Span, checkpoint_due, divergence, initial_state, spans_of, stacked_batches
from attnjax.train.metrics import MetricsFile, train_row
from attnjax.train.optimizer import hyperparameters
from attnjax.train.pack_program import Lanes, PackLayout, make_pack_chunk
from attnjax.train.prefetch import prefetched
from attnjax.train.state import TrainState, evaluation_params

if TYPE_CHECKING:
    from attnjax.tasks.base import Task


@dataclass(frozen=True)
class PackTrial:
    """One trial of a pack: its traced values, its seed, and the file that its metrics go to."""

    number: int
    config: TrainConfig
    seed: int
    metrics: Path


@dataclass(frozen=True)
class Ended:
    """How a trial ended. `params`: after the last step, for one that is done; `reason`: for the others."""

    trial: PackTrial
    status: Literal["done", "failed", "pruned"]
    step: int
    validation: dict[str, float]
    reason: str | None = None
    params: Any = None


Validations = dict[int, dict[str, float]]
"""Of the trials that are alive, by number."""
Prune = Callable[[int, Validations], set[int]]
"""(step, values) → the numbers of the trials that shall go no further."""


class PackProgram:
    """What the packs of one static config share: the task, and its compiled programs."""

    def __init__(self, task: "Task", config: TrainConfig, layout: PackLayout) -> None:
        self.task, self.config, self.layout = task, config, layout
        self.chunk = make_pack_chunk(task.loss, config, layout)
        self.copy = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree))
        self._init = jax.jit(lambda key: initial_state(task, config, key))

    def start(self, trials: Sequence[PackTrial]) -> TrainState:
        """The first states of the trials, stacked; lanes without a trial hold the first one's."""
        seeds = [trial.seed for trial in trials]
        seeds += seeds[:1] * (self.layout.width - len(trials))
        states = jax.device_get([self._init(jax.random.key(seed)) for seed in seeds])
        return jax.device_put(jax.tree.map(lambda *x: np.stack(x), *states), self.layout.by_lane)

    def lanes(self, trials: Sequence[PackTrial], alive: Sequence[int]) -> Lanes:
        """What the lanes are trained with; those in `alive` go on."""
        filled = [*trials, *[trials[0]] * (self.layout.width - len(trials))]
        hyper = [hyperparameters(trial.config) for trial in filled]
        keys = jax.vmap(jax.random.key)(jnp.asarray([trial.seed for trial in filled], jnp.uint32))
        flags = np.zeros(self.layout.width, bool)
        flags[list(alive)] = True
        lanes = Lanes(jax.tree.map(lambda *x: jnp.stack(x), *hyper), keys, jnp.asarray(flags))
        return jax.device_put(lanes, self.layout.by_lane)


class _Running(NamedTuple):
    span: Span
    metrics: Any
    states: TrainState | None


def fit_pack(
    program: PackProgram,
    trials: Sequence[PackTrial],
    *,
    folder: Path,
    ended: Sequence[int] = (),
    on_end: Callable[[Ended], None],
    on_step: Callable[[int, int], None] = lambda step, alive: None,
    prune: Prune = lambda step, values: set(),
) -> bool:
    """Trains up to `layout.width` trials to the end; False when SIGTERM stopped it, with all saved.

    Ctrl-C saves too, and raises KeyboardInterrupt then.

    A pack that was killed goes on from the checkpoint in `folder`; the trials numbered in `ended`, which have
    ended before, are left alone. `on_end` is called once for each other trial: for one whose loss is not
    finite, which fails alone, and one that `prune` stops after a validation before any later checkpoint.
    `on_step` gets the step and how many trials are alive.
    """
    pack, config = _Pack(program, trials, ended, on_end, prune), program.config
    with ExitStack() as stack:
        checkpoints = stack.enter_context(Checkpoints(folder / "checkpoints", keep=1, mode="max"))
        interrupt = stack.enter_context(interrupt_on_signals())
        states = program.start(trials)
        step, states = checkpoints.restore(states) or (0, states)
        pack.cut_back(step)

        def load(span: Span) -> Any:
            return jax.device_put(stacked_batches(program.task, span), program.layout.shared)

        spans = spans_of(step, config)
        batches = stack.enter_context(prefetched(load, spans))
        # As in `fit`: the next chunk is dispatched before the host looks at the one before.
        running: _Running | None = None
        for span in [*spans, None]:
            before, running = running, None
            if span is not None and pack.alive and not interrupt.is_set():
                states, metrics = program.chunk(states, next(batches), pack.lanes())
                copy = program.copy(states) if checkpoint_due(span, config) else None
                running = _Running(span, metrics, copy)
            if before is not None:
                step = before.span.end
                pack.settle(before)
                on_step(step, len(pack.alive))
                if before.states is not None:
                    pack.sync()
                    checkpoints.save(step, before.states)
        if pack.alive and step not in checkpoints.steps:
            pack.sync()
            checkpoints.save(step, states)
        # The last save goes on beside the evaluations; a kill meanwhile costs the steps since the one before.
        if step == config.steps:
            pack.finish(states)
    return not pack.alive


class _Pack:
    """The trials of a pack and what becomes of them."""

    def __init__(
        self,
        program: PackProgram,
        trials: Sequence[PackTrial],
        ended: Sequence[int],
        on_end: Callable[[Ended], None],
        prune: Prune,
    ) -> None:
        self._program, self._trials, self._on_end, self._prune = program, trials, on_end, prune
        self._files = [MetricsFile(trial.metrics) for trial in trials]
        self.alive = [i for i, trial in enumerate(trials) if trial.number not in ended]
        self._lanes: Lanes | None = None

    def lanes(self) -> Lanes:
        if self._lanes is None:
            self._lanes = self._program.lanes(self._trials, self.alive)
        return self._lanes

    def cut_back(self, step: int) -> None:
        for i in self.alive:
            self._files[i].cut_back(step)

    def sync(self) -> None:
        for i in self.alive:
            self._files[i].sync()

    def settle(self, chunk: _Running) -> None:
        """Writes the rows of a chunk that is finished, validates where it is due, ends what has to end."""
        metrics, step = jax.device_get(chunk.metrics), chunk.span.end
        for i in list(self.alive):
            own = {name: values[i] for name, values in metrics.items()}
            if reason := divergence(step, own):
                self._end(i, "failed", step, reason=reason)
            else:
                self._files[i].append(train_row(step, own))
        if chunk.states is None:
            return
        values = {}
        for i in self.alive:
            found = self._program.task.validate(self._params(chunk.states, i))
            self._files[i].append({"step": step, "split": "validation", **found})
            values[self._trials[i].number] = found
        stopped = self._prune(step, values) if step < self._program.config.steps else set()
        for i in list(self.alive):
            if self._trials[i].number in stopped:
                self._end(i, "pruned", step, reason=f"pruned at step {step}")

    def finish(self, states: TrainState) -> None:
        for i in list(self.alive):
            self._end(i, "done", self._program.config.steps, params=self._params(states, i))

    def _end(self, i: int, status: Any, step: int, *, reason: str | None = None, params: Any = None) -> None:
        rows = [row for row in self._files[i].rows() if row["split"] == "validation"]
        last = (
            {name: value for name, value in rows[-1].items() if name not in ("step", "split")} if rows else {}
        )
        self._on_end(Ended(self._trials[i], status, step, last, reason, params))
        self.alive.remove(i)
        self._lanes = None

    def _params(self, states: TrainState, i: int) -> Any:
        own = jax.tree.map(lambda x: x[i], jax.device_get(evaluation_params(states)))
        return jax.device_put(own, jax.local_devices()[0])
