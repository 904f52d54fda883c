"""The trials of a sweep: which there are, that they can be, and which share a compiled program."""

import dataclasses
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from attnjax.config import InputError, require, traced
from attnjax.experiment.changes import with_changes
from attnjax.sweeps import trials
from attnjax.sweeps.space import Categorical, Range
from attnjax.train.config import TrainConfig


@dataclass(frozen=True)
class Model:
    dim: int = 64
    heads: int = 4
    noise: float = traced(0.0)

    def __post_init__(self) -> None:
        require(self.dim % self.heads == 0, f"model.heads is {self.heads}: it must divide {self.dim}")


@dataclass(frozen=True)
class Config:
    model: Model = Model()
    second: Model | None = None
    train: TrainConfig = field(default=TrainConfig(learning_rate=0.5))
    file: Path | None = None
    seed: int = 0


@dataclass(frozen=True)
class Plain:
    """A user's config that raises what Python raises."""

    size: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size > 2:
            raise ValueError("too\nlarge")


def refused(message: str):
    return pytest.raises(InputError, match=f"^{re.escape(message)}$")


def made(*changes, **options):
    return trials.make_trials(Config(), changes, skip_invalid=options.get("skip_invalid", False))


def test_changes_take_on_what_makes_the_shape_of_others_and_keep_the_rest():
    averaged = {"model.heads": 2, "train.ema_decay": 0.9, "train.learning_rate": 0.1, "seed": 3}
    plain = {"model.heads": 4, "train.ema_decay": 0.0, "train.learning_rate": 0.2, "seed": 4}
    moved = trials.in_shape_of(Config(), plain, averaged)
    assert moved == {**plain, "model.heads": 2, "train.ema_decay": 0.9}
    slower = {**plain, "train.ema_decay": 0.99}
    assert trials.in_shape_of(Config(), slower, averaged) == {**slower, "model.heads": 2}
    made = [with_changes(Config(), changes) for changes in (averaged, moved)]
    assert trials.static_config(made[0]) == trials.static_config(made[1])


def test_a_grid_is_every_combination_with_the_last_axis_fastest():
    assert trials.grid({"a": [1, 2], "b": [3, 4]}) == [
        {"a": 1, "b": 3},
        {"a": 1, "b": 4},
        {"a": 2, "b": 3},
        {"a": 2, "b": 4},
    ]
    assert trials.grid({}) == [{}]


def test_zipped_axes_go_together():
    assert trials.zipped({"a": [1, 2], "b": [3, 4]}) == [{"a": 1, "b": 3}, {"a": 2, "b": 4}]


def test_zipped_axes_of_different_lengths_are_named():
    with refused("zipped axes need equally many values: a has 2, b has 1"):
        trials.zipped({"a": [1, 2], "b": [3]})


SPACE = {"model.heads": Categorical((2, 4)), "model.noise": Range(0.0, 1.0)}


def test_samples_are_the_same_for_the_same_seed_and_others_for_another():
    first = trials.sampled(SPACE, 8, seed=1)
    assert first == trials.sampled(SPACE, 8, seed=1)
    assert first != trials.sampled(SPACE, 8, seed=2)
    assert len(first) == 8
    assert {changes["model.heads"] for changes in first} == {2, 4}
    assert all(0 <= changes["model.noise"] <= 1 for changes in first)


def test_more_samples_begin_with_fewer():
    assert trials.sampled(SPACE, 8, seed=1)[:3] == trials.sampled(SPACE, 3, seed=1)


def test_samples_are_different_down_to_the_last_one():
    small = {"a": Categorical((1, 2)), "b": Range(1, 3, integer=True)}
    drawn = trials.sampled(small, 6, seed=0)
    assert sorted(map(str, drawn)) == sorted(map(str, trials.grid({"a": [1, 2], "b": [1, 2, 3]})))


@pytest.mark.parametrize(
    ("count", "seed", "message"),
    [
        (3, 0, "the number of samples is 3: the space holds only 2 different ones"),
        (0, 0, "the number of samples is 0: expected 1 or more"),
        (1, -1, "the seed of the samples is -1: it must be a whole number in [0, 2**32)"),
    ],
)
def test_samples_that_cannot_be_drawn_are_refused(count, seed, message):
    with refused(message):
        trials.sampled({"a": Categorical((1, 2))}, count, seed)


def test_each_entry_gets_every_seed_and_seeds_change_fastest():
    entries = [{"a": 1}, {"a": 2}]
    assert trials.with_seeds(entries, 2, first=5) == [
        {"a": 1, "seed": 5},
        {"a": 1, "seed": 6},
        {"a": 2, "seed": 5},
        {"a": 2, "seed": 6},
    ]
    assert entries == [{"a": 1}, {"a": 2}]


def test_an_entry_keeps_its_own_seed():
    assert trials.with_seeds([{"seed": 9}, {}], 1, first=5) == [{"seed": 9}, {"seed": 5}]


@pytest.mark.parametrize(
    ("changes", "seeds", "first", "message"),
    [
        ({"seed": 1}, 2, 0, "the number of seeds is 2: the sweep sets seed itself"),
        ({}, 0, 0, "the number of seeds is 0: expected 1 or more"),
        ({}, 1, -1, "the first seed is -1: it must be a whole number in [0, 2**32)"),
        ({}, 2, 2**32 - 1, "the last seed is 4294967296: it must be a whole number in [0, 2**32)"),
    ],
)
def test_seeds_that_cannot_be_are_refused(changes, seeds, first, message):
    with refused(message):
        trials.with_seeds([changes], seeds, first)


def test_a_trial_is_its_changes_and_the_whole_config():
    (one, two), left_out = made({"model.heads": 8, "seed": 3}, {"train.dropout": 0})
    assert left_out == []
    assert (one.number, two.number) == (0, 1)
    assert one.changes == {"model.heads": 8, "seed": 3}
    assert one.config == Config(model=Model(heads=8), seed=3)
    assert two.config == Config(train=TrainConfig(learning_rate=0.5, dropout=0.0))


def test_values_take_the_type_of_their_field():
    (trial,), _ = made({"train.dropout": 0})
    assert repr(trial.changes) == "{'train.dropout': 0.0}"


def test_changes_that_fit_only_together_are_made_together():
    for changes in ({"model.dim": 9, "model.heads": 3}, {"model.heads": 3, "model.dim": 9}):
        (trial,), _ = made(changes)
        assert trial.config.model == Model(dim=9, heads=3)


HEADS = [{"model.heads": heads, "seed": seed} for heads in (2, 3, 4) for seed in (0, 1)]


def test_every_combination_that_cannot_be_is_reported_at_once():
    with refused(
        "3 of 4 trials can't be: model.heads=3: model.heads is 3: it must divide 64; "
        "model.dim=6 model.heads=4: model.heads is 4: it must divide 6; "
        "train.dropout=1.5: train.dropout is 1.5: it must be a number in [0, 1)"
        " (--skip-invalid leaves them out)"
    ):
        made({"model.heads": 3}, {"model.dim": 6, "model.heads": 4}, {}, {"train.dropout": 1.5})


def test_seeds_do_not_repeat_what_cannot_be():
    line = "model.heads=3: model.heads is 3: it must divide 64"
    with refused(f"2 of 6 trials can't be: {line} (--skip-invalid leaves them out)"):
        made(*HEADS)
    kept, left_out = made(*HEADS, skip_invalid=True)
    assert left_out == [line]
    assert [(t.number, t.changes["model.heads"], t.changes["seed"]) for t in kept] == [
        (0, 2, 0),
        (1, 2, 1),
        (2, 4, 0),
        (3, 4, 1),
    ]


def test_at_most_five_are_shown():
    with pytest.raises(InputError) as error:
        made({}, *({"model.heads": heads} for heads in (3, 5, 6, 7, 9, 10, 11)))
    text = str(error.value)
    assert text.startswith("7 of 8 trials can't be: ")
    assert [int(heads) for heads in re.findall(r"model.heads=(\d+)", text)] == [3, 5, 6, 7, 9]
    assert text.endswith("; and 2 more (--skip-invalid leaves them out)")


@pytest.mark.parametrize("skip_invalid", [False, True])
def test_when_none_can_be_leaving_out_is_no_remedy(skip_invalid):
    with refused("1 of 1 trials can't be: model.heads=3: model.heads is 3: it must divide 64"):
        made({"model.heads": 3}, skip_invalid=skip_invalid)


def test_a_seed_that_cannot_be_is_a_combination_that_cannot_be():
    _, left_out = made({"seed": -1}, {}, skip_invalid=True)
    assert left_out == ["seed=-1: seed is -1: it must be a whole number in [0, 2**32)"]


def test_a_users_value_error_is_a_combination_that_cannot_be():
    _, left_out = trials.make_trials(Plain(), [{"size": 1}, {"size": 3}], skip_invalid=True)
    assert left_out == ["size=3: too large"]


@pytest.mark.parametrize("skip_invalid", [False, True])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([], "the sweep has no trials"),
        ([{}, {}], "the sweep has a trial twice: no changes"),
        (
            [{"train.dropout": 0, "seed": 1}, {"seed": 1, "train.dropout": 0.0}],
            "the sweep has a trial twice: seed=1 train.dropout=0.0",
        ),
        (
            [{"model.haeds": 2}],
            "the sweep: unknown field 'model.haeds'; did you mean model.heads or model.dim or model.noise?",
        ),
        ([{"model.heads": 2.0}], "model.heads is 2.0: expected int"),
        ([{"seed": True}], "seed is True: expected int"),
        ([{"file": "a.tsv"}], "file is 'a.tsv': expected Path or None"),
    ],
)
def test_a_sweep_that_is_wrong_is_refused_whatever_may_be_left_out(changes, message, skip_invalid):
    with refused(message):
        made(*changes, skip_invalid=skip_invalid)


def test_a_base_config_is_changed_by_name():
    assert with_changes(Config(), {"train.steps": 600, "file": Path("a")}) == Config(
        train=TrainConfig(steps=600, learning_rate=0.5), file=Path("a")
    )
    with refused("model.heads is 3: it must divide 64"):
        with_changes(Config(), {"model.heads": 3})


def test_a_static_config_has_no_traced_value_and_no_seed():
    config = Config(Model(heads=2, noise=0.5), Model(noise=0.7), TrainConfig(dropout=0.3, steps=300), seed=4)
    assert trials.static_config(config) == Config(Model(heads=2), Model(), TrainConfig(steps=300))


def test_every_traced_field_of_the_training_leaves_the_static_config_alone():
    values = {f.name: 0.25 for f in dataclasses.fields(TrainConfig) if f.metadata.get("traced")}
    # Whether there is an average or a decay is static (tested below), and so is how many factors there are.
    for name in ("ema_decay", "layer_decay", "rate_factors"):
        del values[name]
    values["patience"] = 3  # A whole number.
    assert len(values) == 8
    assert trials.static_config(Config(train=TrainConfig(**values))) == trials.static_config(Config())


def test_whether_an_average_is_kept_is_static_and_its_decay_is_not():
    def static(decay):
        return trials.static_config(Config(train=TrainConfig(ema_decay=decay))).train.ema_decay

    assert [static(decay) for decay in (0.0, 0.9, 0.999)] == [0.0, 0.5, 0.5]


def test_trials_of_one_static_config_share_a_group_in_order_of_appearance():
    changes = [
        {"model.heads": 4},
        {"model.heads": 2},
        {"model.heads": 4, "train.learning_rate": 0.1},
        {"train.ema_decay": 0.9},
        {"model.heads": 2, "seed": 7},
        {"train.ema_decay": 0.99, "model.noise": 0.3},
        {"train.steps": 300},
    ]
    asked, _ = made(*changes)
    groups = trials.shape_groups(asked)
    assert [[trial.number for trial in group] for group in groups] == [[0, 2], [1, 4], [3, 5], [6]]
