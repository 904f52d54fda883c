"""Labelled texts: parts, losses and scores by hand, what fits of a folder, one line for each bad input."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.data.text.labelled import Labelled, labelled_parts
from attnjax.data.text.labelled_config import LabelledData
from attnjax.data.text.labelled_files import read_rows
from attnjax.explain import ask, attribute
from attnjax.explain.of_text import explained
from attnjax.models import EncoderConfig
from attnjax.nn import Capture
from attnjax.pretrained import from_pretrained
from attnjax.tasks.beginning import flat
from attnjax.tasks.texts.account import Account
from attnjax.tasks.texts.baselines import text_baselines
from attnjax.tasks.texts.scores import shares_score
from attnjax.tasks.texts.task import TextTask
from tests.pretrained.tiny import labelled, tiny_bert

MODEL = EncoderConfig(dim=8, heads=2, layers=1, hidden=12, positions="learned", max_length=24, pooling="mean")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    tiny_bert(folder / "bert")
    labelled(folder / "classes.tsv")
    labelled(folder / "numbers.tsv", numbers=True)
    return folder


def data(place: Path, **changes: Any) -> LabelledData:
    made = LabelledData(train=place / "classes.tsv", tokenizer=place / "bert", max_length=16, holdout=0.2)
    return replace(made, **changes)


@pytest.fixture(scope="module")
def task(place: Path) -> TextTask:
    return TextTask(data(place), MODEL, batch_size=8, source=place / "bert")


def test_parts_share_no_text_and_are_the_same_each_time(place: Path) -> None:
    parts = labelled_parts(data(place))
    every = Labelled.of(read_rows(place / "classes.tsv", "", ""))
    texts = [set(part.texts) for part in parts.values()]
    assert set.union(*texts) == set(every.texts)
    assert sum(map(len, texts)) == len(set(every.texts))
    assert labelled_parts(data(place)) == parts
    assert labelled_parts(data(place, seed=1)) != parts
    right = dict(zip(every.texts, every.labels, strict=True))
    assert all(right[row.text] == row.label for part in parts.values() for row in part.rows())


def test_the_loss_of_classes_is_the_cross_entropy_and_of_numbers_the_square_error(
    place: Path, task: TextTask
) -> None:
    batch, number = task.batch(3), len(task.names)
    logits = np.random.default_rng(0).normal(size=(8, number)).astype(np.float32)

    class Known:
        """Gives the same logits whatever it reads."""

        def __init__(self, logits: np.ndarray) -> None:
            self.logits = logits

        def __call__(self, tokens: Any, *, lengths: Any, dropout: Any) -> Any:
            assert (tokens.shape[0], lengths.shape) == (8, (8,))
            return SimpleNamespace(logits=jax.numpy.asarray(self.logits))

    options: dict[str, Any] = {"dropout": None, "hyper": {}}
    loss, metrics = task.loss_of(Known(logits), batch, **options)  # type: ignore[arg-type]
    expected = np.log(np.exp(logits).sum(-1)) - logits[np.arange(8), batch["labels"]]
    np.testing.assert_allclose(loss, expected.mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["right"], np.mean(logits.argmax(-1) == batch["labels"]))
    numbers = TextTask(
        data(place, train=place / "numbers.tsv", labels="numbers"), MODEL, batch_size=8, source=place / "bert"
    )
    batch = numbers.batch(0)
    loss, _ = numbers.loss_of(Known(logits), batch, **options)  # type: ignore[arg-type]
    train = np.array(labelled_parts(numbers._data)["train"].labels, float)
    wanted = (batch["labels"] - train.mean()) / train.std()
    np.testing.assert_allclose(loss, np.mean((logits[:, 0] - wanted) ** 2), rtol=1e-4)
    np.testing.assert_allclose(numbers._numbers(wanted[:, None]), batch["labels"], rtol=1e-5)


def test_the_shape_is_that_of_the_source_and_its_parameters_fit_but_for_the_head(
    place: Path, task: TextTask
) -> None:
    assert (task.config.dim, task.config.layers, task.config.pooler, task.config.labels) == (16, 2, None, 2)
    given = from_pretrained(place / "bert")
    task.begin_from(lambda: flat({"norm": np.zeros(1)}), "nothing")
    with pytest.raises(InputError, match="nothing does not fit the model in"):
        task.initial_params()
    from flax import nnx

    task.begin_from(lambda: flat(nnx.to_pure_dict(nnx.state(given, nnx.Param))), "bert")
    begun = flat(task.initial_params())
    assert task.begun is not None
    assert "made new: head.output.bias [2], head.output.kernel [16, 2]; left out: pooler.bias" in task.begun
    np.testing.assert_array_equal(
        begun["blocks.1.attention.out.kernel"], given.blocks[1].attention.out.kernel[...]
    )
    first = TextTask(data(place), replace(MODEL, pooling="first"), batch_size=8, source=place / "bert")
    assert first.config.pooler == "tanh"


def test_a_saved_task_answers_without_the_data_and_the_source(
    place: Path, task: TextTask, tmp_path: Path
) -> None:
    params = jax.jit(task.init)(jax.random.key(1))
    task.save(tmp_path)
    gone = data(place, train=place / "gone.tsv", tokenizer=None)
    again = TextTask(gone, MODEL, batch_size=8, source=place / "gone", folder=tmp_path)
    texts = ["good film", "the plot was bad " * 9, "a"]
    for one, other in zip(task.predict(params, texts), again.predict(params, texts), strict=True):
        assert one == other
        assert sum(one.shares.values()) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(np.linalg.norm(again.sentence_encoder(params)(texts), axis=1), 1, rtol=1e-5)


def test_without_a_tokenizer_pieces_are_learned_and_some_are_masked_anew_at_each_step(
    place: Path, tmp_path: Path
) -> None:
    given = data(place, tokenizer=None, vocab_size=60, masked=0.3)
    task = TextTask(given, MODEL, batch_size=64)
    assert task.vocab <= 60
    plain = TextTask(replace(given, masked=0.0), MODEL, batch_size=64)
    assert plain._tokenizer.encode("Good") == task._tokenizer.encode("good")
    batch, before = task.batch(1), plain.batch(1)
    mask, marks = task._tokenizer.id("[MASK]"), task._tokenizer.marks
    hidden = batch["tokens"] == mask
    ordinary = ~np.isin(before["tokens"], marks)
    assert not (hidden & ~ordinary).any()
    assert hidden.sum() / ordinary.sum() == pytest.approx(0.3, abs=0.08)
    np.testing.assert_array_equal(batch["tokens"][~hidden], before["tokens"][~hidden])
    np.testing.assert_array_equal(task.batch(1)["tokens"], batch["tokens"])
    assert (task.batch(2)["tokens"] == mask).any()
    task.save(tmp_path)
    again = TextTask(
        data(place, train=place / "gone.tsv", tokenizer=None), MODEL, batch_size=8, folder=tmp_path
    )
    assert again._tokenizer.encode("good film") == task._tokenizer.encode("good film")
    with pytest.raises(InputError, match=r"data.masked is 0.5: the tokenizer has no token \[MASK\]"):
        TextTask(data(place, masked=0.5), MODEL, batch_size=8)


def test_the_final_table_has_calibration_the_account_and_a_picture(place: Path, tmp_path: Path) -> None:
    def account(model: Any, test: Any, tokenizer: Any) -> Account:
        assert len(test["labels"]) == len(test["tokens"])
        return Account({"own": {"n": 1.0}}, [[("good", 0.5), ("film", -0.2)]])

    model = replace(MODEL, pooling="self_attentive_pooling")
    task = TextTask(data(place, tokenizer=None, vocab_size=60), model, batch_size=8, account=account)
    params = jax.jit(task.init)(jax.random.key(0))
    found = task.evaluate(params, tmp_path)
    assert found.metrics["own"] == {"n": 1.0}
    for row in ("test", "commonest label", "TF-IDF, logistic regression"):
        assert {"right %", "macro F1 %", "calibration error"} <= found.metrics[row].keys()
    assert [file.name for file in found.figures] == ["calibration.png"]
    assert (tmp_path / "calibration.png").stat().st_size > 1000


@pytest.mark.slow
def test_a_run_is_read_by_explanations(place: Path) -> None:
    model = replace(MODEL, pooling="self_attentive_pooling")
    task = TextTask(data(place, tokenizer=None, vocab_size=60), model, batch_size=8)
    reader = task.reader(jax.jit(task.init)(jax.random.key(0)))
    assert reader.names is not None
    assert reader.names(reader.encode("good"))[0] == "[CLS]"
    shown = explained(reader, "good film", methods=("occlusion",))
    sizes = {one.name: np.shape(one.weights) for one in shown.maps}
    tokens = len(reader.encode("good film"))
    assert sizes == {"blocks.0.attention": (2, tokens, tokens), "pool": (2, 1, tokens)}
    assert [len(one.scores) for one in shown.saliencies] == [tokens]


def test_texts_of_training_that_are_scored_come_from_all_over_a_sorted_file(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"film {i} {label}\t{label}\n" for label in ("n", "p") for i in range(60)]
    (tmp_path / "sorted.tsv").write_text("".join(lines))
    task = TextTask(data(place, train=tmp_path / "sorted.tsv"), MODEL, batch_size=8)
    monkeypatch.setattr(task, "_logits", lambda params, ids: np.tile([1.0, 0.0], (len(ids), 1)))
    assert task._scores({}, "train", 10)["right %"] == pytest.approx(50, abs=11)


def test_words_alone_tell_these_classes_and_numbers_apart() -> None:
    words = ["good", "bad", "fine", "poor"]
    texts = {
        "train": [f"{w} film {i}" for i in range(20) for w in words],
        "test": [f"the {w}" for w in words],
    }
    labels = {"train": np.array([1, 0, 1, 0] * 20, np.int32), "test": np.array([1, 0, 1, 0])}
    found = text_baselines(texts, labels, classes=True)
    assert found["TF-IDF, logistic regression"].argmax(-1).tolist() == [1, 0, 1, 0]
    for shares in found.values():
        np.testing.assert_allclose(shares.sum(-1), 1)
    np.testing.assert_array_equal(found["commonest label"], 0.5)
    numbers = {"train": np.array([3.0, -3.0, 2.0, -1.0] * 20, np.float32), "test": np.zeros(4)}
    ridge = text_baselines(texts, numbers, classes=False)["TF-IDF, ridge regression"]
    assert np.argsort(ridge).tolist() == [1, 3, 2, 0]


@pytest.mark.parametrize(
    ("lines", "changes", "message"),
    [
        ("good\tp\nbad\tn\textra\n", {}, ":2: 3 tab-separated column"),
        ("good\t\n", {}, ":1: the label is empty"),
        ("good\tp\nfine\tp\nfilm\tp\nplot\tp\na\tp\nvery\tp\n", {}, "data.train has the label 'p' alone"),
        ("good\tp\ngood\tp\nbad\tn\nbad\tn\n", {}, "data.train has no text"),
        ("good\t1\nbad\tx\nfine\t3\nfilm\t2\nplot\t1\nvery\t2\n", {"labels": "numbers"}, "expected a number"),
        (None, {"tokenizer": Path("gone.json")}, "gone.json: no such tokenizer file"),
        (None, {"max_length": 30}, "model.max_length is 24: the texts need 30 learned positions"),
        (None, {"train": None}, "data.train is None: expected a TSV, CSV or"),
    ],
)
def test_bad_input_is_one_line(
    place: Path, tmp_path: Path, lines: str | None, changes: dict[str, Any], message: str
) -> None:
    if lines is not None:
        (tmp_path / "own.tsv").write_text(lines)
        changes = {"train": tmp_path / "own.tsv", "holdout": 0.3} | changes
    with pytest.raises(InputError) as caught:
        TextTask(data(place, **changes), MODEL, batch_size=8).notes  # noqa: B018
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_constant_probability_is_calibrated_in_whatever_order_the_labels_stand() -> None:
    labels = np.repeat([0, 1], 50)
    scores = shares_score(labels, np.tile([0.5, 0.5], (100, 1)))
    assert scores["calibration error"] == pytest.approx(0, abs=1e-9)
    assert scores["macro F1 %"] == pytest.approx(100 / 3)


def test_sentences_of_a_text_are_pooled_and_explained_and_a_run_knows_them_again(tmp_path: Path) -> None:
    lines = [
        f"it was a {word} film. the plot? {word} {i}!\t{word}" for word in ("good", "bad") for i in range(9)
    ]
    (tmp_path / "own.tsv").write_text("\n".join(lines))
    given = LabelledData(train=tmp_path / "own.tsv", vocab_size=60, max_length=40, holdout=0.2)
    own = TextTask(given, replace(MODEL, pooling="hierarchical", max_length=40), batch_size=4)
    params = jax.jit(own.init)(jax.random.key(0))
    reader = own.reader(params)
    text = "it was a good film. the plot? bad 1!"
    ids = reader.encode(text)
    marks = own.build(nnx.Rngs(0)).sentences
    numbers = marks.numbers(np.array([ids]))[0].tolist()
    cut = ["".join(reader.names([i for i, n in zip(ids, numbers, strict=True) if n == m])) for m in range(3)]
    assert [part.replace(" ", "") for part in cut] == ["[CLS]itwasagoodfilm.", "theplot?", "bad1![SEP]"]
    model = own.model(params)
    question = ask(model, np.array([ids]))
    found = attribute("integrated_gradients", question, steps=2)
    assert np.isfinite(found.scores).all()
    weights = model(np.array([ids]), capture=Capture()).weights["pool"]
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    own.save(tmp_path)
    again = TextTask(
        given, replace(MODEL, pooling="hierarchical", max_length=40), batch_size=4, folder=tmp_path
    )
    assert again.predict(params, [text]) == own.predict(params, [text])
