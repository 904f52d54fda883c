"""The plan of a sweep: the layout of its packs, measured at the first start and kept from then on."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.config import require
from attnjax.runs.start import Notify, Weights
from attnjax.sweeps.programs import Programs, packed_trial
from attnjax.sweeps.trials import Trial

if TYPE_CHECKING:
    from attnjax.train.packs.program import PackLayout

MAX_CPU_WIDTH = 8
MAX_ACCELERATOR_WIDTH = 64
"""Trials in a pack, unless `--width` names a number; wider ones gain little (see benchmarks/gpu.py)."""
BATCHINGS = ("map", "vmap")
MAX_MEASURING_SECONDS = 2.0
"""The measurement of a step repeats its chunk of steps until it took this long."""
MIN_SWEEP_TO_MEASURING_RATIO = 20
"""The second batching is measured only if the sweep takes this many times as long as measuring the first."""
MAX_TIME_RATIO_TO_SWITCH = 0.8
"""The second batching is used only if its step takes less than this fraction of the first one's time.

The two give different bits. With a ratio near 1 the noise of the machine would decide between them.
"""
MAX_COUNTED_SHAPES = 24
"""An estimate counts the operations of so many shapes, evenly among all: each has to be traced."""
KEEP_PARAMS_CHOICES = ("best", "all", "none")


@dataclass(frozen=True)
class PackPlan:
    """The layout of the packs of a sweep, and which parameters are kept.

    `seconds`: what a step of a pack took in each layout that was measured. `monitor`: of the task.
    `per_pack`: how many trials of one shape a search asks for one after another; 0 for what is no search.
    `keep_params`: of which trials the final state is kept, "best", "all" or "none". `packs`: how many of them
    are computed side by side, on machines of their own. `weights`: which of a trial's are evaluated, those
    after the "last" step or those of its "best" validation.
    """

    layout: "PackLayout"
    monitor: tuple[str, str]
    seconds: dict[str, float]
    per_pack: int = 0
    keep_params: str = "best"
    packs: int = 1
    weights: Weights = "last"

    @property
    def generation(self) -> int:
        """The number of trials in those packs of a search that are computed side by side."""
        return self.per_pack * self.packs

    def record(self) -> dict[str, Any]:
        """Returns the plan in JSON form."""
        own = {"monitor": list(self.monitor), "seconds_per_step": self.seconds, "per_pack": self.per_pack}
        own |= {"keep_params": self.keep_params, "packs": self.packs, "weights": self.weights}
        return {**self.layout._asdict(), **own}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "PackPlan":
        """Returns the plan whose JSON form is `record`."""
        from attnjax.train.packs.program import PackLayout

        layout = PackLayout(record["batching"], record["width"], record["devices"])
        own = [record[name] for name in ("seconds_per_step", "per_pack", "keep_params", "packs", "weights")]
        return cls(layout, tuple(record["monitor"]), *own)


def choose_plan(
    groups: Sequence[Sequence[Trial]],
    programs: Programs,
    batching: str | None,
    devices: int,
    width: int,
    count: int,
    notify: Notify,
) -> PackPlan:
    """The fastest layout for the largest group of a sweep of `count` trials.

    Nothing is measured where the batching is given, and only the one that is likelier to be the faster where
    the whole sweep takes little longer than measuring.
    """
    import jax

    from attnjax.train.packs.program import PackLayout

    largest = max(groups, key=len)
    monitor = programs.task(largest[0]).monitor
    if batching:
        return PackPlan(PackLayout(batching, width, devices), monitor, {})  # type: ignore[arg-type]
    likely = BATCHINGS if jax.default_backend() == "cpu" else BATCHINGS[::-1]
    layouts = [PackLayout(name, width, devices) for name in likely]  # type: ignore[arg-type]
    notify("measuring how fast a step is here")
    began = time.perf_counter()
    seconds = {likely[0]: step_seconds(layouts[0], largest, programs, chunks=1)}
    measuring = time.perf_counter() - began
    if (
        seconds[likely[0]] * largest[0].config.train.steps * count / width
        > MIN_SWEEP_TO_MEASURING_RATIO * measuring
    ):
        seconds = {layout.batching: step_seconds(layout, largest, programs) for layout in layouts}
    best = layouts[0]
    if seconds.get(likely[1], math.inf) < MAX_TIME_RATIO_TO_SWITCH * seconds[likely[0]]:
        best = layouts[1]
    shown = ", ".join(f"{name} {1e3 * value:.1f} ms" for name, value in seconds.items())
    notify(f"{best.batching} it is: a step of {width} trials on {devices} device(s) takes {shown}")
    return PackPlan(best, monitor, {name: round(value, 6) for name, value in seconds.items()})


def pack_size(trials: int, devices: int | None, width: int | None) -> tuple[int, int]:
    """Returns the number of devices that share a pack, and the number of trials in it.

    Raises InputError for more devices than there are, and a width that they do not divide.
    """
    import jax

    available = len(jax.devices())
    require(not devices or devices <= available, f"--devices is {devices}: jax has {available}")
    used = devices or min(available, trials)
    if width is None:
        most = MAX_CPU_WIDTH if jax.default_backend() == "cpu" else MAX_ACCELERATOR_WIDTH
        width = -(-min(most, trials) // used) * used
    require(width % used == 0, f"--width is {width}: expected a multiple of the {used} devices that share it")
    return used, width


def training_seconds(
    plan: PackPlan, groups: Sequence[Sequence[Trial]], programs: Programs, notify: Notify
) -> float:
    """Estimates the seconds of training of all groups.

    A step of the largest group is measured; others are scaled by their floating-point operations, and where
    there are many groups some stand for all.
    """
    largest = max(groups, key=len)
    step = plan.seconds.get(plan.layout.batching) or step_seconds(plan.layout, largest, programs)
    whole = _operations(plan.layout, largest, programs)
    count = min(len(groups), MAX_COUNTED_SHAPES)
    if count < len(groups):
        notify(f"counting the operations of {count} of {len(groups)} shapes, which stand for all")
    some = [groups[i * len(groups) // count] for i in range(count)]

    def steps(group: Sequence[Trial]) -> float:
        packs = len(group) / plan.layout.width
        # The trials here are all, but for a search, which fills its packs.
        return (packs if plan.per_pack else math.ceil(packs)) * group[0].config.train.steps

    counted = sum(steps(group) * _operations(plan.layout, group, programs) for group in some)
    return step / whole * counted * sum(map(steps, groups)) / sum(map(steps, some))


def _operations(layout: "PackLayout", trials: Sequence[Trial], programs: Programs) -> float:
    """Returns the floating-point operations of the program of these trials, counted before it is compiled."""
    from attnjax.train.spans import next_span

    program = programs.program(trials[0], layout)
    batches = program.batches([next_span(0, program.config)] * layout.width)
    lanes = program.lanes([None] * layout.width, [])
    chunk: Any = program.chunk
    return float(chunk.lower(program.empty(), batches, lanes).cost_analysis()["flops"])


def step_seconds(
    layout: "PackLayout", trials: Sequence[Trial], programs: Programs, *, chunks: int = 3
) -> float:
    """Measures the seconds of one step of a full pack of these trials: the shortest of a few chunks."""
    import jax

    from attnjax.train.spans import next_span

    program = programs.program(trials[0], layout)
    program.compile()
    chosen = [trials[i % len(trials)] for i in range(layout.width)]
    packed = [packed_trial(t, Path()) for t in chosen]
    span, states = next_span(0, program.config), program.empty()
    for lane, trial in enumerate(packed):
        states = program.begin(states, lane, trial.seed)
    batches, lanes = program.batches([span] * layout.width), program.lanes(packed, range(layout.width))
    jax.block_until_ready((states, batches, lanes))
    took: list[float] = []
    while len(took) < chunks and sum(took) < MAX_MEASURING_SECONDS:
        start = time.perf_counter()
        states, metrics = program.chunk(states, batches, lanes)
        jax.block_until_ready((states, metrics))
        took.append(time.perf_counter() - start)
    return min(took) / (span.end - span.start)
