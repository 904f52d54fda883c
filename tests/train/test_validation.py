"""The loss of held-out examples, and its gap to the loss of training."""

import jax
import numpy as np
import pytest

from attnjax.train import validation
from attnjax.train.validation import Validation
from tests.train.toy import ToyTask


class HoldsOut(ToyTask):
    def held_out(self) -> dict[str, np.ndarray]:
        return self.batch(1_000_000)


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
