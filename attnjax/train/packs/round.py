"""Messages between a pack and its caller: a dispatched chunk, and the end of a trial."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from attnjax.tasks.errors import TaskError
from attnjax.train.packs.best_params import Best
from attnjax.train.packs.program import PackTrial
from attnjax.train.spans import Span
from attnjax.train.state import TrainState, evaluation_params


@dataclass(frozen=True)
class Ended:
    """The end of a trial. `state`: after the last step, for one that is done; `reason`: for the others.

    `details`: the traceback of what its own code raised. `best`: for one that is done, where it is kept.
    """

    trial: PackTrial
    status: Literal["done", "failed", "pruned"]
    step: int
    validation: dict[str, float]
    reason: str | None = None
    state: TrainState | None = None
    details: str | None = None
    best: Best | None = None

    @property
    def params(self) -> Any:
        """Those after the last step; None for a trial that is not done."""
        return self.state and evaluation_params(self.state)


Prune = Callable[[Mapping[int, int], Collection[int], Collection[int]], set[int]]
"""(steps of the trials just validated, by number; numbers of those running; of those of the pack that ended
before) → the numbers of the trials that shall go no further."""


class Round(NamedTuple):
    """One dispatched chunk of every lane in use: arrays that the device may still be computing."""

    clock: int
    begun: int
    trials: dict[int, PackTrial]
    spans: dict[int, Span]
    metrics: list[tuple[list[int], Any]]
    states: TrainState | None
    failed: list[tuple[PackTrial, int, TaskError]]
    """Those for which there was no batch, and the step that they had reached."""
    save: bool
    last: bool
    """True if a trial comes to its last step."""
