"""Summaries: what is copied and from where, the final table, answers of a saved run, bad input."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest

from attnjax.config import InputError
from attnjax.data.text.example import Example
from attnjax.data.text.summaries_config import SummaryData
from attnjax.data.text.tokenizer import BOS, UNK
from attnjax.models.config import TransformerConfig
from attnjax.models.recurrent_config import RecurrentConfig
from attnjax.ops.classic import pointer_distribution
from attnjax.tasks.summaries.copies import masked_where_it_looks, traced, written_words
from attnjax.tasks.summaries.scores import commonest, lead, nearest_sentences, words_in_text
from attnjax.tasks.summaries.summary import Summary
from attnjax.tasks.summaries.task import SummaryTask
from attnjax.tasks.translation.config import SearchConfig, TranslationLoss
from attnjax.tasks.translation.task import TranslationTask
from tests.tasks.summaries.modules import write_modules

MODEL = TransformerConfig(
    dim=16,
    heads=2,
    encoder_layers=1,
    decoder_layers=1,
    hidden=16,
    copy=True,
    share_embeddings=True,
    tie_embeddings=True,
    implementation="reference",
)
POINTER = RecurrentConfig(dim=8, cross_mechanism="additive", copy=True, coverage=True, input_feeding=False)
COVERED = TranslationLoss(lambda_coverage=1.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SummaryData:
    folder = write_modules(tmp_path_factory.mktemp("modules"))
    return SummaryData(modules=folder, tokenizer="bpe", vocab_size=120, max_source_length=32)


def made(data: SummaryData, model: Any = MODEL, loss: TranslationLoss = COVERED, **more: Any) -> SummaryTask:
    return SummaryTask(data, model, loss=loss, batch_size=8, search=SearchConfig(), **more)


@pytest.fixture(scope="module")
def task(data: SummaryData) -> SummaryTask:
    return made(data)


@pytest.fixture(scope="module")
def trained(task: SummaryTask) -> tuple[Any, list[float]]:
    """Parameters after a few steps, and the loss of each."""
    params = jax.jit(task.init)(jax.random.key(0))
    optimizer = optax.adam(1e-2)

    @jax.jit
    def step(carry: Any, batch: Any) -> Any:
        params, state = carry
        grads, metrics = jax.grad(task.loss, has_aux=True)(params, batch, dropout=None)
        updates, state = optimizer.update(grads, state)
        return (optax.apply_updates(params, updates), state), metrics

    carry, losses = (params, optimizer.init(params)), []
    for i in range(60):
        carry, metrics = step(carry, task.batch(i))
        losses.append(float(metrics["loss"]))
    assert "coverage_loss" in metrics
    return carry[0], losses


def test_the_loss_of_copies_falls(trained: tuple[Any, list[float]]) -> None:
    first, last = np.mean(trained[1][:5]), np.mean(trained[1][-5:])
    assert last < 0.6 * first


@pytest.mark.parametrize(
    "model", [MODEL, pytest.param(POINTER, marks=pytest.mark.slow)], ids=["transformer", "recurrent"]
)
def test_a_copied_share_is_that_of_the_pointer_in_the_mix(data: SummaryData, model: Any) -> None:
    task = made(data, model)
    params = jax.jit(task.init)(jax.random.key(2))
    built = task.model(params)
    arrays = task._arrays([" the fig is sold", " a lamp"], [" the fig", " lamp of fig"])
    found = jax.jit(lambda: traced(built, arrays))()
    target = arrays["target"]
    fed = np.concatenate([np.full((2, 1), BOS, target.dtype), target[:, :-1]], axis=1)
    gates: list[Any] = []
    inner = built.copying.gate

    class Watched:
        def __call__(self, x: Any) -> Any:
            gates.append(inner(x))
            return gates[-1]

    @jax.jit
    def watched() -> Any:
        built = task.model(params)
        built.copying.gate = Watched()
        return built(arrays["source"], arrays["source_lengths"], fed).logits, gates[0]

    logits, gate = watched()
    probabilities = np.take_along_axis(jax.nn.softmax(logits), target[..., None], -1)[..., 0]
    np.testing.assert_allclose(np.exp(found.log_probs), probabilities, rtol=1e-4)
    nothing = np.full(logits.shape, -1e9, np.float32)
    nothing[..., UNK] = 0  # All that is written is the unknown token: what is left are copies.
    copies = pointer_distribution(nothing, found.weights, gate, arrays["source"], size=logits.shape[-1])
    expected = np.take_along_axis(np.asarray(copies), target[..., None], -1)[..., 0] / probabilities
    inside = np.arange(target.shape[1]) < arrays["counts"][:, None]
    np.testing.assert_allclose(found.copied[inside], expected[inside], rtol=1e-3, atol=1e-5)
    assert found.copied[0, 0] > 0.0  # "the" is in the text,
    assert found.copied[0, arrays["counts"][0] - 1] == 0.0  # the end mark is not.


def test_a_model_that_cannot_copy_has_no_shares(data: SummaryData) -> None:
    task = made(data, replace(MODEL, copy=False))
    params = jax.jit(task.init)(jax.random.key(0))
    arrays = task._arrays([" the fig"], [" the fig"])
    assert not jax.jit(lambda: traced(task.model(params), arrays).copied)().any()


@pytest.mark.slow
def test_a_summary_without_copies_still_says_where_it_looked(data: SummaryData) -> None:
    task = made(data, replace(MODEL, copy=False))
    params = jax.jit(task.init)(jax.random.key(0))
    summary = task.predict(params, [task.read_input("The fig is sold.")])[0]
    assert all(word.share is None for word in summary.words)
    assert "copied" not in summary.record()


def test_words_are_made_of_pieces_and_name_the_word_of_the_text() -> None:
    weights = np.array([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.1, 0.2, 0.7]])
    words = written_words(weights, np.array([0.1, 0.9, 0.7]), [" a", " na", "me"], [" the", " na", "me"])
    assert [(word.word, word.place, word.source, word.copied) for word in words] == [
        ("the", 0, "a", False),
        ("name", 1, "name", True),
    ]
    assert words[1].share == pytest.approx(0.8)
    # A word that was copied is from an equal one, even where another has a greater weight.
    more = np.array([[0.6, 0.3, 0.1]])
    (word,) = written_words(more, np.array([0.9]), [" a", " name", " name"], [" name"])
    assert (word.place, word.source) == (1, "name")
    shown = Summary(" the name", [], [], weights, words=words)
    assert shown.record()["copied"] == ["name"]
    assert shown.picture().splitlines() == ["      the   looks at word 1, a", "80 %  name  copied, word 2"]
    assert shown.details()["words"][1]["source"] == "name"


def test_masking_is_where_the_greatest_weight_of_a_written_token_is_or_anywhere_else() -> None:
    weights = np.zeros((2, 3, 4), np.float32)
    weights[0, 1, 2], weights[0, 2, 0] = 0.6, 0.9  # The last one is of the end mark.
    weights[1, 0, 1] = 0.4
    source = np.arange(10, 18).reshape(2, 4)
    arrays = {"source": source, "source_lengths": np.array([4, 2]), "counts": np.array([3, 3])}
    seen = set()
    for seed in range(20):
        tokens, masked = masked_where_it_looks(arrays, weights, np.random.default_rng(seed))
        assert tokens.tolist() == [1, 0]
        assert (masked["where it looks"]["source"] == UNK).nonzero()[1].tolist() == [2, 1]
        rows, places = (masked["elsewhere"]["source"] == UNK).nonzero()
        assert rows.tolist() == [0, 1]
        assert places[1] == 0
        seen.add(int(places[0]))
    assert seen == {0, 1, 3}
    assert (source >= 10).all()


def test_what_a_model_has_to_pass_by_hand() -> None:
    examples = [Example(" one two . all the names . end", " the names of all"), Example(" a", " names of b")]
    assert lead(examples[0]) == " one two ."
    assert nearest_sentences(examples) == [" all the names .", " a"]
    assert words_in_text(examples[0]) == "the names all"
    assert commonest([*examples, examples[1]]) == " names of b"


def test_the_table_has_the_model_and_all_it_has_to_pass(
    task: SummaryTask, trained: tuple[Any, list[float]], tmp_path: Path
) -> None:
    found = task.evaluate(trained[0], tmp_path)
    scored = ("test", "validation", "training", "LEAD-1", "the nearest sentence", "its words in the text")
    rows = (*scored, "the commonest", "the summaries themselves")
    assert list(found.metrics) == [*rows, "masked where it looks", "masked elsewhere"]
    assert found.metrics["the summaries themselves"]["ROUGE-L"] == 100
    assert found.metrics["its words in the text"]["in text %"] == 100
    nearest, first = found.metrics["the nearest sentence"], found.metrics["LEAD-1"]
    assert sum(nearest[name] for name in ("ROUGE-1", "ROUGE-2", "ROUGE-L")) >= sum(
        first[name] for name in ("ROUGE-1", "ROUGE-2", "ROUGE-L")
    )
    assert 0 <= found.metrics["test"]["copied %"] <= 100
    assert found.metrics["test"]["texts"] == 4
    assert found.figures[0].is_file()
    assert {"summary", "reference", "copied"} <= found.samples[0].keys()


def test_a_saved_run_summarises_without_the_texts(
    data: SummaryData,
    task: SummaryTask,
    trained: tuple[Any, list[float]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task.save(tmp_path)
    again = made(replace(data, modules=tmp_path / "gone"), folder=tmp_path)
    raw = ["The Fig is sold, in the SHOP.", "A lamp. " * 40]
    with pytest.raises(InputError, match=r"data.max_source_length is 32"):
        again.read_input(raw[1])
    inputs = [again.read_input(raw[0]), again.read_input(again.beginning(raw[1]))]
    found, own = (t.predict(trained[0], inputs) for t in (again, task))
    assert [one.text for one in found] == [one.text for one in own]
    assert found[0].text
    assert " ".join(word.word for word in found[0].words) == found[0].text
    assert found[0].record()["summary"] == found[0].text
    with pytest.raises(InputError, match="has no word"):
        again.read_input(" — ")
    scored = again.score(trained[0], ["The Fig!"], ["Return it."])[0]
    assert np.isfinite(scored.log_prob)
    asked: list[Any] = []
    monkeypatch.setattr(TranslationTask, "translate", lambda self, params, given, **_: asked.extend(given))
    with pytest.raises(TypeError):  # Nothing was written.
        again.translate(trained[0], [again.constrained(inputs[0], ["Lamp"])])
    assert asked[0].phrases == ("lamp",)


@pytest.mark.slow
def test_a_required_word_is_in_the_summary(task: SummaryTask, trained: tuple[Any, list[float]]) -> None:
    required = task.constrained(task.read_input("The Fig is sold, in the SHOP."), ["Lamp"])
    (written,) = task.translate(trained[0], [required], search=SearchConfig(beams=2, max_length=8))
    assert "lamp" in written.text


def test_the_monitor_is_what_validate_returns(task: SummaryTask, trained: tuple[Any, list[float]]) -> None:
    found = task.validate(trained[0])
    assert task.monitor == ("rouge_l", "max")
    assert found.keys() == {"rouge_1", "rouge_2", "rouge_l"}


def test_a_guided_alignment_is_refused(data: SummaryData) -> None:
    with pytest.raises(InputError, match=r"loss.lambda_align is 0.1: nobody knows the alignment"):
        made(data, loss=TranslationLoss(lambda_align=0.1))
