"""Planted rationales: labels read word by word, the task's loss by hand, that a small model learns it."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.synthetic.planted import MASK, PlantedData, make_planted
from attnjax.data.synthetic.questions import TWICE, Split, stream
from attnjax.models.encoder_config import EncoderConfig
from attnjax.tasks.planted import PlantedTask

MODEL = EncoderConfig(dim=16, heads=2, hidden=16, layers=1, head="labels", implementation="reference")
POLARITY = dict.fromkeys(("good", "great", "moving", "funny"), 1)
POLARITY |= dict.fromkeys(("bad", "dull", "weak", "poor"), -1)


def sentiment(words: list[str]) -> tuple[str, set[int]]:
    """A clause after the other, by hand."""
    place, found = 1, []
    for clause in " ".join(words[1:]).split(" and "):
        own = clause.split()
        negated = own[3] in ("not", "never")
        polarity = {
            "good": 1,
            "great": 1,
            "moving": 1,
            "funny": 1,
            "bad": -1,
            "dull": -1,
            "weak": -1,
            "poor": -1,
        }
        told = polarity.get(own[-1], 0) * (-1 if negated else 1)
        assert own[0] == "the"
        assert own[2] == "was"
        if told:
            decides = {place + len(own) - 1} | ({place + 3} if negated else set())
            found.append(("good" if told > 0 else "bad", decides))
        place += len(own) + 1
    assert len(found) == 1
    return found[0]


def causes(words: list[str]) -> tuple[str, set[int]]:
    digits = [i for i, word in enumerate(words) if word.isdigit()]
    classes = [int(words[i]) >= 4 for i in digits]
    if len(digits) == 1:
        return "high" if classes[0] else "low", set(digits)
    assert len(digits) == 2
    return "different" if classes[0] != classes[1] else "same", set(digits)


@pytest.mark.parametrize(
    ("config", "definition"),
    [
        (PlantedData(), sentiment),
        (PlantedData("causes"), causes),
        (PlantedData("causes", causes=1, length=5), causes),
    ],
)
def test_the_label_and_its_rationale_are_those_of_the_rules(config: PlantedData, definition) -> None:
    source = make_planted(config)
    for setting in source.settings:
        made = source.rows(150, stream(0, Split.TEST), setting)
        assert made["tokens"].shape[1] <= source.longest
        for row, length in enumerate(made["lengths"]):
            words = [source.word(token) for token in made["tokens"][row]]
            assert words[0] == "[CLS]"
            assert set(words[length:]) <= {"·"}
            label, decides = definition(words[:length])
            assert source.labels[made["labels"][row]] == label
            assert set(np.flatnonzero(made["rationale"][row])) == decides
        assert 0.3 < made["labels"].mean() < 0.7
    assert made["tokens"].max() < source.vocab
    twice = source.rows(1, stream(0, Split.TEST), TWICE)["tokens"].shape[1]
    assert twice == source.longest


@pytest.fixture(scope="module")
def task() -> PlantedTask:
    data = PlantedData("causes", causes=1, length=6, evaluation_examples=64)
    return PlantedTask(
        make_planted(data),
        MODEL,
        batch_size=32,
        masked=0.3,
        account=lambda model, test: {"own": {"n": len(test["labels"])}},
    )


def test_a_step_has_its_batch_and_some_of_its_tokens_are_masked(task: PlantedTask) -> None:
    batch = task.batch(3)
    np.testing.assert_array_equal(batch["tokens"], task.batch(3)["tokens"])
    assert not np.array_equal(batch["tokens"], task.batch(4)["tokens"])
    there = np.arange(7) < batch["lengths"][:, None]
    masked = batch["tokens"] == MASK
    assert not (masked & ~there).any()
    assert not masked[:, 0].any()
    assert masked[there].mean() == pytest.approx(0.3 * 0.8, abs=0.12)
    assert (task.validation["tokens"] != MASK).all()


def test_it_learns_and_its_table_has_the_rows_of_the_account(task: PlantedTask, tmp_path: Path) -> None:
    params = jax.jit(task.init)(jax.random.key(0))
    batch = task.batch(0)
    run = jax.jit(jax.value_and_grad(lambda p, batch: task.loss(p, batch, dropout=None), has_aux=True))
    (loss, metrics), _ = run(params, batch)
    forward = jax.jit(lambda p: task.model(p)(batch["tokens"], lengths=batch["lengths"]).logits)
    logits = np.asarray(forward(params), np.float64)
    expected = np.log(np.exp(logits).sum(-1)) - logits[np.arange(32), batch["labels"]]
    np.testing.assert_allclose(loss, expected.mean(), rtol=1e-5)
    assert metrics["weight"] == 32

    @jax.jit
    def update(params: Any, batch: Any) -> Any:
        _, gradient = run(params, batch)
        return jax.tree.map(lambda p, g: p - 0.5 * g, params, gradient)

    for step in range(60):
        params = update(params, task.batch(step))
    found = task.evaluate(params, tmp_path).metrics
    assert list(found) == ["as trained", "twice as long", "own"]
    assert found["own"] == {"n": 64}
    assert found["as trained"]["right %"] > 75
    assert found["as trained"]["right %"] == pytest.approx(task.validate(params)["right"], abs=20)
    inputs = [task.read_input(text) for text in ("a b 7", "[CLS] 0 c")]
    assert [answer.text for answer in task.predict(params, inputs)] == ["high", "low"]
    assert task.predict(params, inputs)[0].record()["label"] == "high"
    with pytest.raises(InputError, match="'z' is no token"):
        task.read_input("z")


def test_bad_settings_are_one_line() -> None:
    with pytest.raises(InputError, match=r"data\.causes is 3: it must be 1 or 2"):
        PlantedData("causes", causes=3)
    with pytest.raises(InputError, match=r"data\.source is 'films'"):
        PlantedData("films")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="masked is 1: expected a share"):
        PlantedTask(make_planted(PlantedData()), MODEL, batch_size=2, masked=1)
    learned = EncoderConfig(dim=16, head="labels", positions="learned", max_length=10)
    with pytest.raises(InputError, match=r"model\.max_length is 10: the sequences need 42"):
        PlantedTask(make_planted(PlantedData()), learned, batch_size=2)
