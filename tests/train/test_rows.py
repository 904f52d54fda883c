"""Rows of a table that a batch reads are updated as Adam does; all others stay as they are."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.interactions.config import InteractionData, PlantedLogData
from attnjax.models.recommender_config import RecommenderConfig
from attnjax.tasks.recommendation.config import ItemLossConfig
from attnjax.tasks.recommendation.task import RecommendationTask
from attnjax.train.config import TrainConfig
from attnjax.train.rows import touched_by
from attnjax.train.state import initial_state
from attnjax.train.step import make_train_step, traced_values

DATA = InteractionData(planted=PlantedLogData(users=9, items=50, groups=10, events=8, gap=3), length=4)
MODEL = RecommenderConfig(dim=4, heads=1, layers=1, hidden=4, max_length=4, implementation="reference")
LOSS = ItemLossConfig("sampled", negatives=2)
TRAIN = TrainConfig(steps=9, batch_size=2, warmup_steps=0, weight_decay=0.0, dropout=0.0)


def test_read_rows_move_as_in_a_whole_update_and_no_others_do() -> None:
    tasks = [
        RecommendationTask(DATA, MODEL, loss=replace(LOSS, rows_alone=alone), batch_size=2)
        for alone in (False, True)
    ]
    assert touched_by(tasks[0]) is None
    key, traced = jax.random.key(0), traced_values(TRAIN, {"calibration": 0.0})
    start = jax.jit(lambda key: initial_state(tasks[0], TRAIN, key))(key)
    steps = [jax.jit(make_train_step(task.loss, TRAIN, touched_by(task))) for task in tasks]
    batches = [tasks[0].batch(step) for step in range(2)]

    def table(state) -> np.ndarray:
        return np.asarray(state.params["embedding"]["tokens"]["embedding"])

    def read(batch) -> set[int]:
        return {int(i) for name in ("items", "targets", "negatives") for i in batch[name].ravel() if i >= 0}

    (whole, metrics), (few, own) = (step(start, batches[0], traced, key) for step in steps)
    for name in metrics:
        np.testing.assert_allclose(own[name], metrics[name], rtol=1e-5)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(few), strict=True):
        np.testing.assert_allclose(b, a, atol=1e-6)  # No row has moments yet that would move it.
    (whole, _), (few, _) = (
        step(first, batches[1], traced, key) for step, first in zip(steps, (whole, few), strict=True)
    )
    once = sorted(read(batches[0]) - read(batches[1]))
    assert once
    np.testing.assert_array_equal(table(few)[once], table(steps[1](start, batches[0], traced, key)[0])[once])
    assert np.abs(table(whole)[once] - table(few)[once]).max() > 1e-5  # Adam's mean moves them on.
    never = sorted(set(range(50)) - read(batches[0]) - read(batches[1]))
    np.testing.assert_array_equal(table(few)[never], table(start)[never])


def test_a_loss_over_all_items_reads_all_rows() -> None:
    with pytest.raises(InputError, match=r"loss.rows_alone is True: the full loss reads all items"):
        ItemLossConfig(rows_alone=True)
