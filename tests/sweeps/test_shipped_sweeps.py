"""The sweeps that come with the project: every trial can be, and seeds share a compiled shape."""

from typing import Any

import pytest

from attnjax.data.synthetic.config import SOURCES
from attnjax.experiment.changes import with_changes
from attnjax.experiment.registry import discover
from attnjax.mechanisms import find, read
from attnjax.models.sizes import sizes
from attnjax.sweeps.registry import find_sweep
from attnjax.sweeps.trials import make_trials, shape_groups


@pytest.mark.parametrize(
    ("name", "trials", "shapes"),
    [
        ("recall_state", 96, 24),
        ("copying_length", 40, 10),
        ("mosaic_mechanisms", 42, 14),
        ("nearest_mechanisms", 21, 7),
        ("heads_dims_dropout", 24, 4),
        ("captioning_attention", 32, 8),
        ("captioning_decoders", 12, 6),
        ("film_finetuning", 12, 4),
        ("attention_or_not", 12, 4),
        ("roar", 39, 6),
    ],
)
def test_a_named_sweep_has_no_impossible_trial(name: str, trials: int, shapes: int) -> None:
    assert discover() == []
    sweep = find_sweep(name)
    base = with_changes(sweep.experiment.make(), sweep.base)
    made, refused = make_trials(base, sweep.changes(), skip_invalid=False)
    assert (len(made), refused) == (trials, [])
    assert len(shape_groups(made)) == shapes


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The sources of the small sweep; both over mechanisms have few of them: all take a minute to size."""
    assert discover() == []
    few = ("softmax", "window", "prefix", "neighborhood", "gla")
    for name in ("mechanisms_card", "mechanisms_small"):
        # Its own names: the file may have been loaded again since.
        names = find_sweep(name).make.__globals__
        assert all(len(read(mechanism)) == 1 for mechanism in names["FEW"])
        monkeypatch.setitem(names, "table", lambda kind: {name: find(name) for name in few})
        monkeypatch.setitem(names, "FEW", names["FEW"][:2])
    return names["SMALL"]


def test_sweeps_over_mechanisms_have_models_of_equal_size(small: Any) -> None:
    fit = ["softmax", "window(size=8)", "gla"]
    for name, sources, kept in (
        ("mechanisms_card", [source for source in SOURCES if source != "s3"], fit),
        ("mechanisms_small", small, fit[:2]),
    ):
        sweep = find_sweep(name)
        base = with_changes(sweep.experiment.make(), sweep.base)
        trials, refused = make_trials(base, sweep.changes(), skip_invalid=False)
        assert (len(trials), refused) == (len(sources) * len(kept) * 2 * 3, [])
        assert len(shape_groups(trials)) == len(sources) * len(kept)
        assert {trial.config.data.source for trial in trials} == set(sources)
        made = [sizes(trial.config.model, vocab=64, length=48) for trial in trials]
        assert max(x.parameters for x in made) < 1.01 * min(x.parameters for x in made)
    fitted = find_sweep("mechanisms_card").make.__globals__["fitted"]
    refusals = fitted(["prefix", "neighborhood", "grid_of_mine"])
    assert "reads ahead" in refusals["prefix"]
    assert refusals["neighborhood"].startswith("neighborhood cannot read 48 tokens")
    assert "unknown mechanism 'grid_of_mine'" in refusals["grid_of_mine"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("bigbird", "bigbird(size=8)"), ("relative_bias", "relative_bias"), ("lightning", "lightning")],
)
def test_options_in_tokens_are_made_small(name: str, text: str) -> None:
    assert discover() == []
    assert find_sweep("mechanisms_card").make.__globals__["short"](find(name)) == text
