"""Early stopping: where it ends, in a run, in one that was killed, and in a pack."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attnjax.train.config import TrainConfig
from attnjax.train.hashing import params_hash
from attnjax.train.loop import fit, load_params
from attnjax.train.packs.fit import fit_pack
from attnjax.train.packs.program import PackLayout, PackProgram, PackTrial
from attnjax.train.stopping import stop_step
from tests.daily import daily
from tests.train.toy import ToyTask

CONFIG = TrainConfig(
    steps=40, batch_size=8, log_every=4, checkpoint_every=4, warmup_steps=2, patience=2, learning_rate=1e-3
)
SCORES = (1.0, 3.0, 2.0, 2.5, 9.0)
"""Of the validations: two after the second are no better."""


class Scored(ToyTask):
    """Scores validations as it is told, by how many there were before in the metrics file."""

    monitor = ("score", "max")

    def __init__(self, file: Path, dies_at: int | None = None) -> None:
        super().__init__()
        self.file, self.dies_at = file, dies_at

    def batch(self, step: int) -> Any:
        if step == self.dies_at:
            raise OSError("killed")
        return super().batch(step)

    def validate(self, params: Any) -> dict[str, float]:
        rows = [json.loads(line) for line in self.file.read_text().splitlines()]
        return {"score": SCORES[sum(row["split"] == "validation" for row in rows)]}


def rows(*values: float) -> list[dict[str, Any]]:
    found = [{"step": 10 * (i + 1), "split": "validation", "score": x} for i, x in enumerate(values)]
    return [{"step": 1, "split": "train", "loss": 0.0}, *found]


@pytest.mark.parametrize(
    ("values", "mode", "changes", "expected"),
    [
        (SCORES, "max", {}, 40),
        (SCORES[:3], "max", {}, None),
        (SCORES, "max", {"patience": 3}, None),
        (SCORES, "max", {"patience": 0}, None),
        (SCORES, "min", {}, 30),
        ((1.0, 1.0, 1.0), "max", {}, 30),
        ((1.0, 1.1, 1.2, 1.3), "max", {"least_improvement": 0.15}, None),
        ((1.0, 1.1, 1.2), "max", {"least_improvement": 0.5}, 30),
        ((float("nan"), float("nan")), "max", {}, 20),
    ],
)
def test_a_training_ends_after_so_many_validations_without_improvement(
    values: tuple[float, ...], mode: Any, changes: dict[str, Any], expected: int | None
) -> None:
    assert stop_step(rows(*values), ("score", mode), replace(CONFIG, **changes)) == expected


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("whole")
    return fit(Scored(folder / "metrics.jsonl"), CONFIG, seed=0, folder=folder, observers=()), folder


def test_the_parameters_are_those_of_the_step_at_which_it_ended(whole: Any, tmp_path: Path) -> None:
    fitted, folder = whole
    assert (fitted.step, fitted.interrupted, fitted.best) == (16, False, (8, 3.0))
    task = ToyTask()
    to_there = fit(
        task, replace(CONFIG, patience=0, schedule="cosine"), seed=0, folder=tmp_path, observers=()
    )
    assert params_hash(fitted.params) != params_hash(to_there.params)
    kept = load_params(task, CONFIG, folder=folder)
    assert params_hash(kept) == params_hash(fitted.params)
    assert not (folder / "checkpoints" / "20").exists()
    assert [json.loads(x)["step"] for x in (folder / "metrics.jsonl").read_text().splitlines()][-1] == 16


@pytest.mark.parametrize("dies_at", daily([10, 19], [19]))
def test_a_killed_run_ends_at_the_same_step_with_the_same_bits(
    whole: Any, tmp_path: Path, dies_at: int
) -> None:
    file = tmp_path / "metrics.jsonl"
    with pytest.raises(OSError, match="killed"):
        fit(Scored(file, dies_at), CONFIG, seed=0, folder=tmp_path, observers=())
    again = fit(Scored(file), CONFIG, seed=0, folder=tmp_path, observers=())
    assert (again.step, params_hash(again.params)) == (16, params_hash(whole[0].params))
    assert file.read_bytes() == (whole[1] / "metrics.jsonl").read_bytes()
    over = fit(Scored(file), CONFIG, seed=0, folder=tmp_path, observers=())
    assert (over.step, over.resumed_from) == (16, 16)
    assert params_hash(over.params) == params_hash(again.params)


def test_a_trial_of_a_pack_ends_where_a_run_of_its_own_does(whole: Any, tmp_path: Path) -> None:
    file, ended = tmp_path / "metrics.jsonl", []
    program = PackProgram(Scored(file), replace(CONFIG, patience=0), PackLayout("map", 1))
    fit_pack(program, [PackTrial(0, CONFIG, 0, file)], folder=tmp_path, on_end=ended.append)
    (end,) = ended
    assert (end.status, end.step) == ("done", 16)
    assert params_hash(end.params) == params_hash(whole[0].params)
