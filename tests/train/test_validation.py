"""The loss of held-out examples, and its gap to the loss of training."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from attnjax.tasks.base import Evaluation
from attnjax.tasks.rehearsal import evaluation
from attnjax.train import validation
from attnjax.train.validation import Validation
from tests.train.toy import ToyTask


class HoldsOut(ToyTask):
    def held_out(self) -> dict[str, np.ndarray]:
        return self.batch(1_000_000)


class ByTrial(ToyTask):
    def validate_trial(self, params: Any, hyper: Any) -> dict[str, float]:
        return {"accuracy": hyper["label_smoothing"]}

    def evaluate_trial(self, params: Any, folder: Path, hyper: Any) -> Evaluation:
        return Evaluation({"test": {"own": hyper["label_smoothing"]}})


def test_it_is_the_loss_of_training_without_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "ROWS", 4)  # Two pieces, with other numbers of terms.
    task = HoldsOut(batch_size=8)
    params = task.init(jax.random.key(0))
    expected = task.loss(params, task.held_out(), dropout=None, hyper={"label_smoothing": 0.1})[0]
    row = Validation(task).row(7, params, train_loss=1.5, hyper={"label_smoothing": 0.1})
    assert list(row) == ["step", "split", "accuracy", "loss", "gap"]
    np.testing.assert_allclose(row["loss"], expected, rtol=1e-6)
    assert row["gap"] == row["loss"] - 1.5


def test_a_task_without_held_out_examples_has_its_own_values_alone() -> None:
    task = ToyTask()
    params = task.init(jax.random.key(0))
    row = Validation(task).row(7, params, train_loss=1.5, hyper={})
    assert row == {"step": 7, "split": "validation", **task.validate(params)}


def test_held_out_examples_may_follow_the_traced_fields_of_a_trial(tmp_path: Path) -> None:
    task, hyper = ByTrial(), {"label_smoothing": 0.3}
    params = task.init(jax.random.key(0))
    row = Validation(task).row(7, params, train_loss=1.5, hyper=hyper)
    assert row == {"step": 7, "split": "validation", "accuracy": 0.3}
    assert evaluation(task, params, tmp_path, hyper) == {"test": {"own": 0.3}}
