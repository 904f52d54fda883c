"""The language model's task: bits by the formula, documents that do not see each other, text from a run."""

from pathlib import Path

import jax
import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.text.documents_config import DocumentsData
from attnjax.models import LanguageModelConfig
from attnjax.tasks.language.task import BEYOND, BITS, LanguageTask

MODEL = LanguageModelConfig(dim=8, heads=2, layers=1, hidden=8, implementation="reference")
LENGTH = 16


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> LanguageTask:
    place = tmp_path_factory.mktemp("texts")
    for i in range(9):
        (place / f"{i}.txt").write_text(f"{'ab' * (5 * i + 20)}\n")
    data = DocumentsData(
        train=(place,), length=LENGTH, holdout=0.2, evaluation_tokens=64, ngram=3, ngram_tokens=300
    )
    return LanguageTask(data, MODEL, batch_size=4, account=lambda model, rows: {"own": {"n": len(rows)}})


@pytest.fixture(scope="module")
def params(task: LanguageTask) -> dict:
    return jax.jit(task.init)(jax.random.key(0))


def test_the_loss_and_the_bits_are_those_of_documents_read_alone(task: LanguageTask, params: dict) -> None:
    batch = next(task.batch(step) for step in range(50) if task.batch(step)["segments"].max() > 0)
    loss, metrics = jax.jit(lambda p, b: task.loss(p, b, dropout=None))(params, batch)
    run = jax.jit(lambda p, tokens: task.model(p)(tokens).logits)
    total = 0.0
    for tokens, answers, segments in zip(*(batch[n] for n in ("tokens", "answers", "segments")), strict=True):
        for number in range(segments.max() + 1):
            own = segments == number
            row = np.zeros((1, LENGTH), np.int32)
            row[0, : own.sum()] = tokens[own]
            logits = np.asarray(run(params, row), np.float64)[0, : own.sum()]
            log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
            total -= log_p[np.arange(own.sum()), answers[own]].sum()
    np.testing.assert_allclose(loss, total / (4 * LENGTH), rtol=1e-5)
    assert metrics["weight"] == 4 * LENGTH
    rate = task._tokens_per_byte("train")
    train = task._parts["train"]
    assert rate == (train.bytes + len(train)) / train.bytes
    bits = task._bits(params, batch)
    np.testing.assert_allclose(bits.mean(), total / (4 * LENGTH) / np.log(2), rtol=1e-5)


def test_the_table_has_lengths_and_n_grams_and_a_run_writes(
    task: LanguageTask, params: dict, tmp_path: Path
) -> None:
    found = task.evaluate(params, tmp_path)
    table = found.metrics
    assert list(table) == [
        *("test", "test, 2 times as long", "test, 4 times as long"),
        *("Kneser–Ney, n = 3", "tokens by themselves", "own"),
    ]
    assert set(table["test"]) == {BITS}
    assert set(table["test, 4 times as long"]) == {BITS, BEYOND}
    # "ab" again and again: pairs tell nearly all, single bytes a bit each.
    assert table["Kneser–Ney, n = 3"][BITS] < 0.4 < 0.95 < table["tokens by themselves"][BITS]
    assert "abab" in found.samples[0]["text"]
    assert found.figures[0].is_file()
    assert found.samples[0]["in the document"][:2] in ("ab", "ba")
    assert 5 < task.validate(params)["bits_per_byte"] < 12
    text = "abé"
    (answer,) = task.predict(params, [task.read_input(text)])
    assert len(answer.bits) == len(text.encode()) == 4
    assert answer.names[:2] == ("a", "b")
    assert "mean:" in answer.picture()
    writer = task.writer(params)
    assert list(writer.encode("a")) == [256, 97]
    assert writer.decode([97, 195, 169, 256]) == "aé"


def test_bad_settings_are_one_line(tmp_path: Path) -> None:
    learned = LanguageModelConfig(dim=8, positions="learned", max_length=12)
    with pytest.raises(InputError, match=r"model\.max_length is 12: the rows need 16 learned positions"):
        LanguageTask(DocumentsData(length=16), learned, batch_size=1)
    with pytest.raises(InputError, match=r"tokenizer\.json: no such tokenizer file"):
        LanguageTask(DocumentsData(tokenizer=tmp_path / "tokenizer.json"), MODEL, batch_size=1)
    with pytest.raises(InputError, match=r"data\.test needs data\.train"):
        DocumentsData(test=(tmp_path,))
