"""The task of answering within sequences: its loss by hand, its scores, what is held out, that it learns."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from attnjax.config import InputError
from attnjax.data.synthetic.config import CopyingData, RecallData
from attnjax.data.synthetic.copying import Copying
from attnjax.data.synthetic.questions import AS_TRAINED, NOT_ASKED
from attnjax.data.synthetic.recall import MOST, TWICE, Recall
from attnjax.models.config import LanguageModelConfig
from attnjax.nn import Dropout
from attnjax.tasks.sequences import SequenceTask

MODEL = LanguageModelConfig(
    dim=32, heads=2, hidden=32, layers=1, positions="none", convolution=2, implementation="reference"
)
DATA = RecallData(vocab=18, pairs=4, length=16, evaluation_examples=100)


@pytest.fixture(scope="module")
def task() -> SequenceTask:
    return SequenceTask(Recall(DATA), MODEL, batch_size=32)


@pytest.fixture(scope="module")
def params(task: SequenceTask):
    return jax.jit(task.init)(jax.random.key(0))


def test_the_loss_is_the_smoothed_cross_entropy_where_something_is_asked(task, params) -> None:
    batch = task.batch(0)
    value, metrics = jax.jit(task.loss)(params, batch, dropout=None, hyper={"label_smoothing": 0.1})
    asked = batch["answers"] != NOT_ASKED
    logits = jax.jit(lambda params, tokens: task.model(params)(tokens).logits)(params, batch["tokens"])
    labels = optax.smooth_labels(jax.nn.one_hot(batch["answers"], logits.shape[-1]), 0.1)
    expected = np.asarray(optax.softmax_cross_entropy(logits, labels))[asked].mean()
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    accuracy = (np.asarray(logits).argmax(-1) == batch["answers"])[asked].mean()
    np.testing.assert_allclose(metrics["token_accuracy"], accuracy, rtol=1e-6)
    assert metrics["weight"] == asked.sum()


def test_the_scores_are_of_the_answers_and_of_whole_sequences(task, monkeypatch) -> None:
    answers = task.validation["answers"]
    asked = answers != NOT_ASKED
    first = asked & (np.cumsum(asked, axis=1) == 1)  # Every sequence asks something.
    for wrong, of_answers, of_sequences in (
        (~asked, 100.0, 100.0),
        (first, 100 * (1 - len(answers) / asked.sum()), 0.0),
        (first & (np.arange(len(answers)) < 30)[:, None], 100 * (1 - 30 / asked.sum()), 70.0),
    ):
        monkeypatch.setattr(task, "_given", lambda *_, wrong=wrong: np.where(wrong, 2, answers))
        assert task.validate(None) == pytest.approx({"answers": of_answers, "sequences": of_sequences})


def test_the_table_has_a_row_for_each_setting_and_samples_in_words(task, params, tmp_path: Path) -> None:
    evaluation = task.evaluate(params, tmp_path)
    assert list(evaluation.metrics) == [AS_TRAINED, MOST, TWICE]
    assert all(row["examples"] == 100 and 0 <= row["answers %"] < 40 for row in evaluation.metrics.values())
    sample = evaluation.samples[2]
    assert sample["row"] == MOST
    assert sample["sequence"].split()[8:].count("·") == 4
    pairs = dict(zip(sample["sequence"].split()[:8:2], sample["sequence"].split()[1:8:2], strict=True))
    asked = [word for word in sample["sequence"].split()[8:] if word != "·"]
    assert sample["right ones"].split() == [pairs[key] for key in asked]


def test_batches_follow_from_the_step_and_differ_from_what_is_held_out(task) -> None:
    again = SequenceTask(Recall(DATA), MODEL, batch_size=32)
    for step in (0, 5):
        for name, array in task.batch(step).items():
            assert array.shape == (32, 16)
            np.testing.assert_array_equal(array, again.batch(step)[name])
    parts = [task.batch(0), task.batch(1), task.validation, task._tests[AS_TRAINED]]
    rows = [{row.tobytes() for row in part["tokens"] if (row[-8:] != 0).any()} for part in parts]
    assert sum(map(len, rows)) == len(set.union(*rows))


def test_it_learns_and_its_scores_say_so(task, params) -> None:
    optimizer = optax.adam(1e-2)

    @jax.jit
    def step(carry, batch):
        grads, _ = jax.grad(task.loss, has_aux=True)(carry[0], batch, dropout=None)
        updates, state = optimizer.update(grads, carry[1])
        return optax.apply_updates(carry[0], updates), state

    carry = params, optimizer.init(params)
    for i in range(150):
        carry = step(carry, task.batch(i))
    before, after = task.validate(params), task.validate(carry[0])
    assert after[task.monitor[0]] > 80 > 30 > before[task.monitor[0]]


def test_sequences_longer_than_learned_positions_are_refused() -> None:
    model = dataclasses.replace(MODEL, positions="learned", max_length=40)
    SequenceTask(Copying(CopyingData(length=9)), model, batch_size=4)
    with pytest.raises(InputError, match=r"^model\.max_length is 40: the sequences need 41"):
        SequenceTask(Copying(CopyingData(length=10)), model, batch_size=4)


def test_dropout_takes_effect_where_a_mechanism_has_no_weights() -> None:
    model = dataclasses.replace(MODEL, mechanism="linear", implementation=None)
    task = SequenceTask(Copying(CopyingData(length=3)), model, batch_size=4)
    params, loss = jax.jit(task.init)(jax.random.key(0)), jax.jit(task.loss)

    def value(dropout: Dropout | None) -> float:
        return float(loss(params, task.batch(0), dropout=dropout)[0])

    key = jax.random.key(1)
    assert value(Dropout(0.5, key)) == value(Dropout(0.5, key)) != value(None)


def test_inputs_are_ids_or_words_and_answers_do_not_depend_on_their_neighbours(task, params) -> None:
    assert task.read_input("1 9, k2 v10,k1") == [1, 9, 2, 10, 1]
    asked = [task.read_input("1 9 2 10 1"), task.read_input("3 12 4 11 5 10 3 4 5")]
    alone = [task.predict(params, [tokens])[0] for tokens in asked]
    together = task.predict(params, asked)
    assert [found.answers for found in together] == [found.answers for found in alone]
    logits = jax.jit(lambda p: task.model(p)(np.array([asked[0]], np.int32)).logits)(params)
    assert together[0].answers == np.asarray(logits)[0].argmax(-1).tolist()
    last = together[0].answers[-1]
    assert together[0].record() == {"answer": last, "word": task.source.word(last)}
    tokens, answers = together[0].picture().splitlines()
    assert tokens.split() == ["k1", "v9", "k2", "v10", "k1"]
    assert answers.split()[-1] == together[0].text


def test_what_is_no_token_and_too_many_of_them_are_refused(task) -> None:
    with pytest.raises(InputError, match="'v18' is no token: expected ids from 0 to 17, or words"):
        task.read_input("k1 v18")
    learned = dataclasses.replace(MODEL, positions="learned", max_length=32)
    short = SequenceTask(Recall(DATA), learned, batch_size=4)
    with pytest.raises(InputError, match=r"model.max_length is 32: the tokens need 33 learned positions"):
        short.read_input("1 " * 33)
    assert len(short.predict(jax.jit(short.init)(jax.random.key(0)), [[1] * 17])[0].answers) == 17
