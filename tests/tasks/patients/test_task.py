"""What comes to persons: tokens and times by hand, padding that nobody sees, that it learns and points."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.data.series.cohort import Cohort, PlantedDrift
from attnjax.data.series.config import SeriesData
from attnjax.data.tables.files import Table
from attnjax.models import EventGRU, EventsConfig, EventTransformer
from attnjax.models.events import EventTokens
from attnjax.models.factory import Parts
from attnjax.tasks.patients.localisation import drifting, located, random_located
from attnjax.tasks.patients.task import BEST_ROW, GRU_ROW, PatientTask

MODEL = EventsConfig(dim=16, heads=2, hidden=16, layers=1, longest_period=16.0, waves=8)
DATA = SeriesData(examples=600, evaluation_examples=120, drift=9.0, max_events=24, subgroups=("sex",))


@pytest.fixture(scope="module")
def study() -> ModuleType:
    """experiments/patients.py."""
    file = Path(__file__).parents[3] / "experiments" / "patients.py"
    spec = importlib.util.spec_from_file_location("patients_study", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def person(count: int = 3) -> dict[str, jax.Array]:
    return {
        "times": -jnp.arange(count, 0, -1.0)[None],
        "signs": jnp.array([[0, 1, 0, 1][:count]]),
        "values": jnp.array([[0.5, jnp.nan, -1.0, 2.0][:count]]),
    }


@pytest.mark.parametrize("times", ["learned", "sinusoidal"])
def test_a_token_is_its_value_its_sign_and_the_waves_of_its_time(times: Any) -> None:
    config = EventsConfig(dim=4, heads=1, times=times, waves=2, shortest_period=2.0, longest_period=8.0)
    tokens = EventTokens(config, 2, Parts(config, nnx.Rngs(0)), rngs=nnx.Rngs(0))
    own = person()
    found = tokens(own["times"], own["signs"], own["values"], jnp.ones((1, 3), bool))
    kernel, bias, missing = (
        np.asarray(p[...], np.float64) for p in (tokens.kernel, tokens.bias, tokens.missing)
    )
    assert tokens.waves is not None
    turned = np.array([-3.0, -2.0, -1.0])[:, None] * (2 * np.pi / np.array([2.0, 8.0]))
    waves = [np.sin(turned), np.cos(turned)]
    if tokens.waves.phase is not None:
        waves = [np.sin(turned + np.asarray(tokens.waves.phase[...], np.float64))]
    read = np.concatenate([np.array([-3.0, -2.0, -1.0])[:, None] / 8, *waves], 1)
    of_time = np.asarray(tokens.waves.map(jnp.asarray(read, jnp.float32)))
    expected = np.array([0.5 * kernel[0] + bias[0], missing[1], -kernel[0] + bias[0]]) + of_time
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)
    # The same gap anywhere is the same turn of the waves: what counts is days, not places.
    order = EventsConfig(dim=4, heads=1, times="order")
    places = EventTokens(order, 2, Parts(order, nnx.Rngs(0)), rngs=nnx.Rngs(0))
    far = places(10 * own["times"], own["signs"], own["values"], jnp.ones((1, 3), bool))
    np.testing.assert_array_equal(
        far, places(own["times"], own["signs"], own["values"], jnp.ones((1, 3), bool))
    )


@pytest.mark.parametrize("kind", [EventTransformer, EventGRU])
def test_nobody_sees_padding_and_bad_shapes_are_named(kind: Any) -> None:
    model, own = kind(MODEL, 2, (0, 2), rngs=nnx.Rngs(0)), person()
    persons = jnp.array([[0.5, 1.0]])

    def logits(own: dict[str, jax.Array], **more: Any) -> np.ndarray:
        found = model(*own.values(), persons=persons, **more)
        return np.asarray(found if kind is EventGRU else found.logits)

    padded = {name: jnp.pad(x, ((0, 0), (0, 2)), constant_values=7) for name, x in own.items()}
    padded["signs"] = padded["signs"].at[:, 3:].set(1)
    present = jnp.array([[True, True, True, False, False]])
    np.testing.assert_allclose(logits(padded, present=present), logits(own), rtol=1e-5, atol=1e-6)
    assert not np.allclose(logits(own | {"times": 3 * own["times"]}), logits(own), atol=1e-4)
    if kind is EventTransformer:
        turned = {name: x[:, ::-1] for name, x in own.items()}
        np.testing.assert_allclose(logits(turned), logits(own), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"persons None: expected \(B, 2\)"):
        model(*own.values())
    with pytest.raises(ValueError, match=r"times, signs and values \[1, 3\], \[1, 2\], \[1, 3\]"):
        model(own["times"], own["signs"][:, 1:], own["values"], persons=persons)


def trained(task: PatientTask, steps: int) -> Any:
    params, optimizer = jax.jit(task.init)(jax.random.key(0)), optax.adam(5e-3)

    @jax.jit
    def step(params: Any, state: Any, batch: Any) -> Any:
        gradient = jax.grad(lambda p: task.loss(p, batch, dropout=None)[0])(params)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for number in range(steps):
        params, state = step(params, state, task.batch(number))
    return params


def test_it_learns_and_a_saved_run_answers_texts(tmp_path: Path) -> None:
    task = PatientTask(DATA, MODEL, batch_size=32, recurrent_steps=0)
    np.testing.assert_array_equal(task.batch(3)["values"], task.batch(3)["values"])
    params = trained(task, 160)
    table = task.evaluate(params, tmp_path).metrics
    assert table["sex female"]["inputs"] + table["sex male"]["inputs"] == table["test"]["inputs"] == 120
    assert table[BEST_ROW]["AUROC"] > table["test"]["AUROC"] > 0.7
    assert GRU_ROW not in table
    assert (tmp_path / "patients.png").is_file()
    task.save(tmp_path)
    again = PatientTask(SeriesData(train=tmp_path / "gone.csv"), MODEL, batch_size=1, folder=tmp_path)
    inputs = [
        again.read_input(text)
        for text in ("-3 pulse 1, -1 pulse 9; age=60", "-3 oxygen, -2 pulse 0, -1 pulse 1")
    ]
    answers = again.predict(params, inputs)
    assert answers == task.predict(params, inputs)
    assert {answer.text for answer in answers} <= {"stays well", "deteriorates"}


@pytest.mark.slow
def test_it_learns_a_drift_and_points_at_it(tmp_path: Path, study: ModuleType) -> None:
    def account(model: Any, test: Any, cohort: Cohort) -> dict[str, dict[str, float]]:
        unplanted = study.explained(model, test, replace(cohort, truth=None), count=8)
        assert "comprehensiveness" in unplanted["events by integrated_gradients"]
        assert "AUPRC of events" not in unplanted["random order"]
        return study.explained(model, test, cohort, count=8)

    task = PatientTask(DATA, MODEL, batch_size=32, recurrent_steps=4, account=account)
    params = trained(task, 160)
    table = task.evaluate(params, tmp_path).metrics
    rows = ("test", GRU_ROW, BEST_ROW)
    ours, gru, best = (table[row]["AUROC"] for row in rows)
    assert best > ours > 0.7
    assert 0 < gru < 1
    early = [table[row]["AUROC"] for row in table if row.endswith("after the onset")]
    assert len(early) == 5
    assert early[-1] > early[0] + 0.1
    found, chance = table["events by integrated_gradients"], table["random order"]
    assert found["AUPRC of events"] > 2 * chance["AUPRC of events"]
    assert found["right sign %"] > 50 > chance["right sign %"] == 20
    assert found["comprehensiveness"] > chance["comprehensiveness"]


def test_scores_of_events_are_judged_by_hand() -> None:
    times, signs = np.array([[-4.0, -3, -2, -1, 0]]), np.array([[0, 1, 0, 1, -1]])
    table = Table("own", {"person": np.array(["a"], object)}, np.array([1]))
    cohort = Cohort(
        ("a", "b"),
        times,
        signs,
        np.zeros((1, 5)),
        np.array([1]),
        table,
        PlantedDrift(np.array([1]), np.array([-2.5])),
    )
    np.testing.assert_array_equal(drifting(cohort), [[False, False, False, True, False]])
    found = located(np.array([[0.0, 1, 5, 3, 9]]), cohort)
    assert found == {"AUPRC of events": 0.5, "top event drifts %": 0.0, "right sign %": 0.0}
    found = located(np.array([[0.0, 3, 5, 4, 9]]), cohort)
    assert found["right sign %"] == 100
    assert random_located(cohort) == {"AUPRC of events": 0.25, "top event drifts %": 25, "right sign %": 50}
    earlier = cohort.until(np.array([-2.0]))
    np.testing.assert_array_equal(earlier.times, [[-2, -1, 0, 0, 0]])
    np.testing.assert_array_equal(earlier.present, [[True, True, True, False, False]])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"positions": "rope"}, "model.positions is 'rope': events have times"),
        ({"times": "days"}, "model.times"),
        ({"mechanism": "selective"}, "selective is causal only"),
        ({"waves": 0}, "model.waves is 0"),
        ({"shortest_period": 200.0}, "model.shortest_period is 200.0 and longest_period 100.0"),
    ],
)
def test_bad_shapes_are_one_line(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        EventsConfig(**fields)
    assert message in str(caught.value)
