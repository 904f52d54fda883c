"""How the packs of a sweep are computed: a quick measurement at the first start, kept from then on."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.config import require
from attnjax.experiment.run import Say
from attnjax.experiment.sweep_programs import Programs
from attnjax.experiment.trials import Trial

if TYPE_CHECKING:
    from attnjax.train.pack_program import PackLayout

CPU_WIDTH, ACCELERATOR_WIDTH = 8, 32
LOWERINGS = ("map", "vmap")
ENOUGH = 2.0  # Seconds.


@dataclass(frozen=True)
class Plan:
    """How packs are computed.

    `seconds`: what a step of a pack took in each layout that was measured. `monitor`: of the task. `asks`: a
    search asks for a trial whenever a lane is free, not for generations.
    """

    layout: "PackLayout"
    monitor: tuple[str, str]
    seconds: dict[str, float]
    asks: bool = False

    def record(self) -> dict[str, Any]:
        about = {"monitor": list(self.monitor), "seconds_per_step": self.seconds, "asks": self.asks}
        return {**self.layout._asdict(), **about}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Plan":
        from attnjax.train.pack_program import PackLayout

        layout = PackLayout(record["lowering"], record["width"], record["devices"])
        return cls(layout, tuple(record["monitor"]), record["seconds_per_step"], record.get("asks", False))


def choose_plan(
    groups: Sequence[Sequence[Trial]],
    programs: Programs,
    lowering: str | None,
    devices: int,
    width: int,
    say: Say,
) -> Plan:
    """The fastest layout for the largest group; nothing is measured where the lowering is given."""
    from attnjax.train.pack_program import PackLayout

    largest = max(groups, key=len)
    layouts = [PackLayout(name, width, devices) for name in LOWERINGS if lowering in (None, name)]  # type: ignore[arg-type]
    seconds = {}
    if len(layouts) > 1:
        say("measuring which lowering is fastest here")
        seconds = {layout.lowering: step_seconds(layout, largest, programs) for layout in layouts}
        layouts.sort(key=lambda layout: seconds[layout.lowering])
        shown = ", ".join(f"{name} {1e3 * value:.1f} ms" for name, value in seconds.items())
        say(f"{layouts[0].lowering} it is: a step of {width} trials on {devices} device(s) takes {shown}")
    monitor = programs.task(largest[0]).monitor
    return Plan(layouts[0], monitor, {name: round(value, 6) for name, value in seconds.items()})


def pack_size(trials: int, devices: int | None, width: int | None) -> tuple[int, int]:
    """How many devices share a pack, and how many trials are in it.

    Raises InputError for more devices than there are, and a width that they do not divide.
    """
    import jax

    available = len(jax.devices())
    require(not devices or devices <= available, f"--devices is {devices}: jax has {available}")
    used = devices or min(available, trials)
    if width is None:
        most = CPU_WIDTH if jax.default_backend() == "cpu" else ACCELERATOR_WIDTH
        width = -(-min(most, trials) // used) * used
    require(width % used == 0, f"--width is {width}: expected a multiple of the {used} devices that share it")
    return used, width


def step_seconds(layout: "PackLayout", trials: Sequence[Trial], programs: Programs) -> float:
    """What one step of a full pack of these trials takes: the least of three chunks, of one if it is long."""
    import jax

    from attnjax.train.loop import next_span
    from attnjax.train.pack_program import PackTrial

    program = programs.program(trials[0], layout)
    program.compile()
    chosen = [trials[i % len(trials)] for i in range(layout.width)]
    packed = [PackTrial(t.number, t.config.train, t.config.seed, Path()) for t in chosen]
    span, states = next_span(0, program.config), program.empty()
    for lane, trial in enumerate(packed):
        states = program.begin(states, lane, trial.seed)
    batches, lanes = program.batches([span] * layout.width), program.lanes(packed, range(layout.width))
    jax.block_until_ready((states, batches, lanes))
    took: list[float] = []
    while len(took) < 3 and sum(took) < ENOUGH:
        start = time.perf_counter()
        states, metrics = program.chunk(states, batches, lanes)
        jax.block_until_ready((states, metrics))
        took.append(time.perf_counter() - start)
    return min(took) / (span.end - span.start)
