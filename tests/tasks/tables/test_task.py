"""The task of tables: tokens of columns by hand, the loss, a table with baselines and subgroups, answers."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.data.tables.config import TableData
from attnjax.explain import Target, ask, attribute
from attnjax.models import TableConfig, TableTransformer
from attnjax.models.table import ColumnTokens
from attnjax.tasks.tables.baselines import table_baselines
from attnjax.tasks.tables.task import TableTask

MODEL = TableConfig(dim=8, heads=2, hidden=8, layers=1)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> TableTask:
    """The label is whether age and pulse are on one side of their means; sex says nothing."""
    rng = np.random.default_rng(0)
    age, pulse = rng.normal(60, 10, 300), rng.normal(80, 10, 300)
    sex, gone = rng.choice(["f", "m"], 300), rng.random(300) < 0.1
    labels = np.where((age > 60) == (pulse > 80), "yes", "no")
    lines = [
        f"{i},{a:.1f},{'' if g else f'{p:.1f}'},{s},{y}"
        for i, (a, p, s, y, g) in enumerate(zip(age, pulse, sex, labels, gone, strict=True))
    ]
    file = tmp_path_factory.mktemp("table") / "own.csv"
    file.write_text("\n".join(["id,age,pulse,sex,ill", *lines]))
    data = TableData(train=file, target="ill", person="id", subgroups=("sex", "age"), holdout=0.2)
    return TableTask(
        data, MODEL, batch_size=64, account=lambda model, rows, names: {"own": {"n": len(names)}}
    )


def test_a_column_has_the_token_of_its_number_its_class_or_of_missing() -> None:
    tokens = ColumnTokens((0, 3, 2), 4, rngs=nnx.Rngs(0))
    values = jnp.array([[0.5, 2, 1], [jnp.nan, 0, jnp.nan]])
    found = np.asarray(tokens(values))
    kernel, bias, missing, table = (
        np.asarray(p[...]) for p in (tokens.kernel, tokens.bias, tokens.missing, tokens.table)
    )
    assert table.shape == (5, 4)
    expected = [
        [0.5 * kernel[0] + bias[0], table[2] + bias[1], table[4] + bias[2]],
        [missing[0], table[0] + bias[1], missing[2]],
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    gradient = jax.grad(lambda v: tokens(v).sum())(values)
    assert np.isfinite(np.asarray(gradient)).all()
    with pytest.raises(ValueError, match=r"values \[2, 2\]: expected \(B, 3\)"):
        TableTransformer(MODEL, (0, 3, 2), rngs=nnx.Rngs(0))(values[:, :2])


def test_it_learns_an_interaction_that_no_linear_model_has(task: TableTask, tmp_path: Path) -> None:
    params = jax.jit(task.init)(jax.random.key(0))
    batch = task.batch(0)
    np.testing.assert_array_equal(batch["values"], task.batch(0)["values"])
    run = jax.jit(jax.value_and_grad(lambda p, b: task.loss(p, b, dropout=None), has_aux=True))
    (loss, _), _ = run(params, batch)
    forward = jax.jit(lambda params, values: task.model(params)(values).logits)
    logits = np.asarray(forward(params, batch["values"]), np.float64)
    expected = np.log(np.exp(logits).sum(-1)) - logits[np.arange(64), batch["labels"]]
    np.testing.assert_allclose(loss, expected.mean(), rtol=1e-5)
    optimizer = optax.sgd(0.03, momentum=0.9)

    @jax.jit
    def update(params: Any, state: Any, batch: Any) -> Any:
        (_, _), gradient = run(params, batch)
        change, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, change), state

    state = optimizer.init(params)
    for step in range(200):
        params, state = update(params, state, task.batch(step))
    table = task.evaluate(params, tmp_path).metrics
    assert table["test"]["AUROC"] > 0.85
    assert table["logistic regression"]["AUROC"] < 0.7
    assert table["share of the label"]["AUROC"] == 0.5
    assert table["own"] == {"n": 3}
    groups = [row for row in table if row.startswith(("sex", "age"))]
    assert groups[:2] == ["sex f", "sex m"]
    assert len(groups) == 5
    sizes = [table[row]["inputs"] for row in groups]
    assert sum(sizes[:2]) == sum(sizes[2:]) == table["test"]["inputs"] == 60
    assert task.validate(params)["auroc"] > 0.8

    task.save(tmp_path)
    again = TableTask(TableData(train=tmp_path / "gone.csv"), MODEL, batch_size=1, folder=tmp_path)
    inputs = [again.read_input(text) for text in ("age=75, pulse=95", "age=75,pulse=65,sex=f")]
    answers = again.predict(params, inputs)
    assert [answer.text for answer in answers] == ["yes", "no"]
    assert answers == task.predict(params, inputs)
    with pytest.raises(InputError, match="'age 75': expected column=value"):
        again.read_input("age 75")

    question = ask(task.model(params), jnp.stack(inputs))
    nothing = question.with_tokens(jnp.full((2, 3), jnp.nan)).vectors()
    label = question.target.index
    margin = question.with_target(Target(label, against=1 - label))
    found = attribute("integrated_gradients", margin, baseline=nothing, steps=32)
    without = forward(params, jnp.full((1, 3), jnp.nan))[0]
    expected = [without[i] - without[1 - i] for i in np.asarray(label)]
    np.testing.assert_allclose(found.baseline, expected, rtol=1e-4, atol=1e-5)
    # What is missing is the baseline itself.
    assert found.scores[0, 2] == 0
    assert found.scores[1, 2] != 0
    weights = attribute("raw", margin).scores
    assert weights.shape == (2, 3)


def test_a_logistic_regression_knows_classes_and_what_is_missing() -> None:
    rng = np.random.default_rng(1)
    values = np.stack([rng.normal(size=400), rng.integers(0, 3, 400), rng.normal(size=400)], 1)
    values[rng.random(400) < 0.5, 2] = np.nan
    labels = ((values[:, 1] == 1) | np.isnan(values[:, 2])).astype(np.int32)
    odd = (values[:, 1] != 1) & np.isnan(values[:, 2])
    given = table_baselines(values[:300], labels[:300], values[300:], (0, 3, 0))["logistic regression"]
    assert given[odd[300:]].mean() > 0.8
    assert given[~np.isnan(values[300:, 2]) & (values[300:, 1] != 1)].mean() < 0.2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"positions": "rope"}, "model.positions is 'rope': columns have no order"),
        ({"mechanism": "selective"}, "selective is causal only"),
        ({"layers": 0}, "model.layers is 0"),
    ],
)
def test_bad_shapes_are_one_line(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        TableConfig(**fields)
    assert message in str(caught.value)
