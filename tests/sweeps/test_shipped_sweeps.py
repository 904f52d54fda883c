"""The sweeps that come with the project: every trial can be, and seeds share a compiled shape."""

import pytest

from attnjax.experiment.changes import with_changes
from attnjax.experiment.registry import discover
from attnjax.sweeps.registry import find_sweep
from attnjax.sweeps.trials import make_trials, shape_groups


@pytest.mark.parametrize(
    ("name", "trials", "shapes"),
    [("recall_state", 96, 24), ("copying_length", 40, 10), ("heads_dims_dropout", 24, 4)],
)
def test_a_named_sweep_has_no_impossible_trial(name: str, trials: int, shapes: int) -> None:
    assert discover() == []
    sweep = find_sweep(name)
    base = with_changes(sweep.experiment.make(), sweep.base)
    made, refused = make_trials(base, sweep.changes(), skip_invalid=False)
    assert (len(made), refused) == (trials, [])
    assert len(shape_groups(made)) == shapes
