"""What a sweep keeps of shapes that it has left."""

import gc
import weakref

import pytest

from attnjax.cli import main
from attnjax.sweeps.programs import KEPT_OF_GRID, Programs
from attnjax.train.packs.program import PackProgram
from tests.toy_runs import WHERE

pytestmark = pytest.mark.usefixtures("on_one_core_in_an_empty_directory")


def test_a_grid_lets_go_of_the_programs_of_shapes_that_it_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    made: weakref.WeakSet[PackProgram] = weakref.WeakSet()
    alive: list[int] = []
    of_trial = Programs.program

    def program(self: Programs, *arguments: object) -> PackProgram:
        made.add(found := of_trial(self, *arguments))
        gc.collect()
        alive.append(len(made))
        return found

    monkeypatch.setattr(Programs, "program", program)
    grid = ["--grid", "line.slope=1,2,3,4,5", "--train.steps", "4", "--devices", "1", "--batching", "map"]
    assert main(["sweep", "toy", *grid, *WHERE]) == 0
    assert len(alive) >= 5
    assert max(alive) == KEPT_OF_GRID
