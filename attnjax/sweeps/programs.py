"""The tasks and the compiled programs of a sweep's shapes."""

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from attnjax.config import InputError, loss_fields
from attnjax.experiment.identity import canonical
from attnjax.runs.sources import task_of
from attnjax.sweeps.spec import SweepSpec
from attnjax.sweeps.trials import Trial, static_config
from attnjax.tasks.errors import TaskError, task_code

if TYPE_CHECKING:
    from attnjax.tasks.base import Task
    from attnjax.train.packs.program import PackLayout, PackProgram, PackTrial

# Of the tasks, which hold their data, and of the programs, each of which takes some 200 MiB: a grid leaves a
# shape for good, a search comes back to it.
KEPT_OF_GRID, KEPT_OF_SEARCH = 2, 8

T = TypeVar("T")


class Programs:
    """Makes the task of a trial's shape and its program once; those used last are kept."""

    def __init__(self, spec: SweepSpec) -> None:
        self._experiment = spec.experiment
        self._most = KEPT_OF_SEARCH if spec.search else KEPT_OF_GRID
        self._tasks: dict[Hashable, Task] = {}
        self._rehearsed: set[str] = set()
        self._programs: dict[Hashable, PackProgram] = {}

    def task(self, trial: Trial) -> "Task":
        """The task of all trials that have the static fields of this one.

        Raises InputError for data that is not good, TaskError where the task's code fails.
        """

        def make() -> "Task":
            config = static_config(trial.config)
            with task_code("task", but=InputError):
                return task_of(config)

        return _kept(self._tasks, self._shape(trial), make, self._most)

    def rehearse(self, trial: Trial) -> None:
        """Makes sure, once, that training can use the task of trials like this one. Raises as `task` does."""
        from attnjax.tasks.rehearsal import rehearse

        if (shape := self._shape(trial)) not in self._rehearsed:
            rehearse(self.task(trial), loss_fields(trial.config))
            self._rehearsed.add(shape)

    def faults(self, groups: Sequence[Sequence[Trial]]) -> dict[int, InputError | TaskError]:
        """Returns the error of each group whose task cannot be made, by the index of the group."""
        found: dict[int, InputError | TaskError] = {}
        for place, group in enumerate(groups):
            try:
                self.task(group[0])
            except (InputError, TaskError) as error:
                found[place] = error
        return found

    def program(self, trial: Trial, layout: "PackLayout") -> "PackProgram":
        """The program for packs of such trials. Raises as `rehearse` does."""
        from attnjax.train.packs.program import PackProgram

        def make() -> PackProgram:
            self.rehearse(trial)
            config = static_config(trial.config)
            return PackProgram(self.task(trial), config.train, layout, loss_fields(config))

        return _kept(self._programs, (self._shape(trial), layout), make, self._most)

    def _shape(self, trial: Trial) -> str:
        return canonical(self._experiment.name, static_config(trial.config))


def packed_trial(trial: Trial, metrics: Path) -> "PackTrial":
    """Returns a trial as a pack trains it; the rows of its metrics go to the file `metrics`."""
    from attnjax.train.packs.program import PackTrial

    config = trial.config
    return PackTrial(trial.number, config.train, config.seed, metrics, loss_fields(config))


def _kept(store: dict[Hashable, T], key: Hashable, make: Callable[[], T], most: int) -> T:
    value = store.pop(key) if key in store else make()
    store[key] = value
    if len(store) > most:
        del store[next(iter(store))]
    return value
