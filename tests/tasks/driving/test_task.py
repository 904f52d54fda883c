"""Futures of cars: the loss and the scores by hand, padding that nobody sees, that it learns what matters."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.driving.config import DrivingData
from attnjax.models import AgentsConfig
from attnjax.tasks.driving.scores import futures_score, pointing_score, random_pointing
from attnjax.tasks.driving.task import DrivingTask

MODEL = AgentsConfig(dim=16, heads=2, hidden=16, layers=1, modes=2, implementation="reference")


@pytest.fixture(scope="module")
def task() -> DrivingTask:
    return DrivingTask(DrivingData(cars=4, evaluation_examples=64), MODEL, batch_size=32)


@pytest.fixture(scope="module")
def params(task: DrivingTask) -> Any:
    return jax.jit(task.init)(jax.random.key(0))


def test_the_loss_is_of_the_best_future_and_no_car_sees_padding(task: DrivingTask, params: Any) -> None:
    batch = task.batch(2)
    np.testing.assert_array_equal(batch["seen"], task.batch(2)["seen"])
    batch["present"] = batch["present"].copy()
    batch["present"][:, 3] = False
    both = jax.jit(jax.value_and_grad(lambda p, b: task.loss(p, b, dropout=None), has_aux=True))

    def loss(params: Any, batch: Any) -> Any:
        return both(params, batch)[0]

    value, metrics = loss(params, batch)
    given = jax.jit(lambda p: task.model(p)(batch["seen"], present=batch["present"]))(params)
    places = batch["base"][:, :, None] + np.asarray(given.places)
    logits = np.asarray(given.logits, np.float64)
    far = np.linalg.norm(places - batch["future"][:, :, None], axis=-1).mean(-1)[:, :3]
    log_p = (logits - np.log(np.exp(logits).sum(-1, keepdims=True)))[:, :3]
    best = far.argmin(-1)[..., None]
    expected = np.take_along_axis(far, best, -1).mean() - np.take_along_axis(log_p, best, -1).mean()
    np.testing.assert_allclose(value, expected, rtol=1e-3)
    assert metrics["weight"] == 32 * 3
    gradient = both(params, batch)[1]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    other = dict(batch, seen=batch["seen"].copy())
    other["seen"][:, 3] += 5
    np.testing.assert_allclose(loss(params, other)[0], value, rtol=1e-6)
    other["seen"][:, 1] += 5
    assert abs(loss(params, other)[0] - value) > 1e-4


def test_its_table_has_moving_and_standing_cars_and_what_points(
    task: DrivingTask, params: Any, tmp_path: Path
) -> None:
    found = task.evaluate(params, tmp_path)
    table = found.metrics
    groups = ("moving", "standing", "car 0, it matters")
    for name in ("model", "constant velocity", "constant acceleration"):
        assert {f"{name}: {group}" for group in groups} <= set(table)
    assert table["constant velocity: standing"]["minADE m"] < 0.1
    assert table["constant velocity: moving"]["minADE m"] > 1
    assert table["model: moving"]["cars"] == table["constant velocity: moving"]["cars"]
    assert "the rules without the minded car: car 0, it matters" in table
    assert table["model, 2 cars more: moving"]["cars"] > table["model: moving"]["cars"]
    assert {"attention of layer 0", "nearest car", "car that moves it most", "random order"} <= set(table)
    assert table["random order"]["AUPRC"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert found.figures[0].is_file()
    text = "0,0 5,0 10,0 15,0 20,0 25,0; 30,0 34,0 37,0 39,0 40,0 40,0"
    answer, alone = task.predict(params, [task.read_input(text), task.read_input(text.split(";")[0])])
    assert len(answer.places[0]) == 8
    assert sum(answer.chances) == pytest.approx(1)
    assert answer.chances[0] >= answer.chances[1]
    assert sum(answer.attended) == pytest.approx(1, abs=1e-5)
    assert alone.attended == (1.0,)
    assert answer.text.endswith("%")
    assert "attention of car 0: car 0" in answer.picture()
    for bad, message in {
        "0,0 1,1": "car 0 has 2 place",
        "0,0 5,0 10,0 15,0 20,0 2": "expected pairs",
    }.items():
        with pytest.raises(InputError, match=message):
            task.read_input(bad)


@pytest.mark.slow
def test_it_learns_to_mind_the_car_that_matters(task: DrivingTask, params: Any, tmp_path: Path) -> None:
    import optax

    optimizer = optax.adam(3e-3)

    @jax.jit
    def train(params: Any, state: Any, batch: Any) -> Any:
        gradient = jax.grad(lambda p: task.loss(p, batch, dropout=None)[0])(params)
        change, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, change), state

    state = optimizer.init(params)
    for step in range(1500):
        params, state = train(params, state, task.batch(step))
    table = task.evaluate(params, tmp_path).metrics
    assert table["model: moving"]["minADE m"] < 0.5 * table["constant velocity: moving"]["minADE m"]
    row = "car that moves it most"
    assert table[row]["AUPRC"] > table["random order"]["AUPRC"] + 0.15


def test_a_task_of_ones_own_scenes_trains_on_them(tmp_path: Path) -> None:
    rows = [f"s{s},c{c},{t},{3.0 * t + s},{4 * c}" for s in range(12) for c in range(2) for t in range(14)]
    (tmp_path / "own.csv").write_text("\n".join(["scene,car,time,x,y", *rows]))
    task = DrivingTask(DrivingData(train=tmp_path / "own.csv", holdout=0.25), MODEL, batch_size=4)
    batch = task.batch(0)
    assert batch["seen"].shape == (4, 2, 30)
    np.testing.assert_allclose(batch["base"], batch["future"], atol=1e-4)
    assert task._groups(task._test) == ["moving"]


def test_scores_by_hand() -> None:
    right = np.zeros((2, 2, 2))
    places = np.zeros((2, 2, 2, 2))
    places[0, 0, :, 0] = 1, 3
    places[0, 1, :, 0] = 2, 1
    places[1, :, :, 1] = 4
    found = futures_score(places, np.array([[1.0, 0.0], [0.0, 1.0]]), right)
    assert found == {
        **{"minADE m": (1.5 + 4) / 2, "minFDE m": (1 + 4) / 2, "missed %": 50.0},
        **{"ADE m": (2 + 4) / 2, "FDE m": (3 + 4) / 2, "cars": 2.0},
    }
    scores = np.array([[9, 3, 2, 1.0], [9, 1, 2, 3.0]])
    present = np.array([[True] * 4, [True, True, True, False]])
    moved = np.array([[0, 1, 2, 3.0], [0, 4, 5, 6.0]])
    found = pointing_score(scores, np.array([2, 2]), present, moved)
    assert found == {"AUPRC": 0.75, "top car is minded %": 50.0, "moves m without top car": 3.0}
    assert random_pointing(present, moved)["AUPRC"] == pytest.approx(((1 + 0.5 + 1 / 3) / 3 + 0.75) / 2)


def test_bad_shapes_are_one_line(task: DrivingTask, params: Any) -> None:
    with pytest.raises(InputError, match=r"model\.positions is 'rope': agents have no order"):
        AgentsConfig(positions="rope")
    with pytest.raises(ValueError, match=r"seen \[1, 2, 3\]: expected \(B, agents, 30\)"):
        task.model(params)(jnp.zeros((1, 2, 3)))
