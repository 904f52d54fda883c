"""The translation task: its loss against a written-out formula, decoding, own corpora, saving."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.data.text.config import TranslationData
from attnjax.data.text.splits import translation_splits
from attnjax.data.text.tokenizer import BOS, PAD, UNK
from attnjax.models.config import TransformerConfig
from attnjax.models.decoding.alignment import alignment
from attnjax.models.decoding.scoring import force
from attnjax.nn.dropout import Dropout
from attnjax.tasks import inference
from attnjax.tasks.translation import task as translation_module
from attnjax.tasks.translation.task import TranslationTask

# The reference engine compiles fastest, learned positions learn to copy fastest.
MODEL = TransformerConfig(
    dim=32, heads=2, encoder_layers=1, decoder_layers=1, positions="learned", implementation="reference"
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Upper-casing words of different letters: small enough to be learned in seconds."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.permutation(list("abcdefg"))[: rng.integers(2, 6)]) for _ in range(800)]
    path = tmp_path_factory.mktemp("corpus") / "train.tsv"
    path.write_text("".join(f"{word}\t{word.upper()}\n" for word in words))
    return TranslationData(train=path, holdout=0.1)


@pytest.fixture(scope="module")
def task(corpus):
    return TranslationTask(corpus, MODEL, batch_size=32)


@pytest.fixture(scope="module")
def loss(task):
    """The task's loss, compiled once for each kind of call."""
    return jax.jit(task.loss)


@pytest.fixture(scope="module")
def trained(task):
    params = jax.jit(task.init)(jax.random.key(0))
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, 200))

    @jax.jit
    def step(carry, batch):
        params, state = carry
        grads, metrics = jax.grad(task.loss, has_aux=True)(params, batch, dropout=None)
        updates, state = optimizer.update(grads, state)
        return (optax.apply_updates(params, updates), state), metrics

    carry = params, optimizer.init(params)
    for i in range(200):
        carry, _ = step(carry, task.batch(i))
    return carry[0]


def test_a_task_learns_and_its_scores_say_so(task, trained):
    untrained = task.validate(jax.jit(task.init)(jax.random.key(0)))
    scores = task.validate(trained)
    assert scores["exact_match"] > 90 > 20 > untrained["exact_match"]
    assert scores["chrf"] > 90


def test_validation_is_of_the_validation_part(task, trained, corpus, monkeypatch):
    asked = []
    monkeypatch.setattr(translation_module, "exact_match", lambda _, references: asked.append(references))
    task.validate(trained)
    assert asked == [[example.target for example in translation_splits(corpus)[0]["validation"]]]


def test_the_loss_is_the_smoothed_cross_entropy_of_the_tokens_without_padding(task, trained, loss):
    batch = task.batch(0)
    value, metrics = loss(trained, batch, dropout=None, hyper={"label_smoothing": 0.1})
    predict = jax.jit(lambda params, *inputs: task.model(params)(*inputs).logits)
    logits = predict(trained, batch["source"], batch["source_lengths"], batch["target"][:, :-1])
    labels = batch["target"][:, 1:]
    smooth = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), 0.1)
    kept = labels != PAD
    expected = np.asarray(optax.softmax_cross_entropy(logits, smooth))[kept].mean()
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert metrics["weight"] == kept.sum()
    accuracy = (np.asarray(logits).argmax(-1) == labels)[kept].mean()
    np.testing.assert_allclose(metrics["token_accuracy"], accuracy, rtol=1e-6)


def test_padding_changes_no_loss(task, trained, loss):
    batch = task.batch(1)
    wider = {
        "source": np.pad(batch["source"], ((0, 0), (0, 4)), constant_values=7),
        "source_lengths": batch["source_lengths"],
        "target": np.pad(batch["target"], ((0, 0), (0, 4)), constant_values=PAD),
    }
    losses = [loss(trained, b, dropout=None, hyper={"label_smoothing": 0.1})[0] for b in (batch, wider)]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_dropout_takes_effect_and_follows_its_key(task, trained, loss):
    def value(dropout):
        return float(loss(trained, task.batch(0), dropout=dropout)[0])

    key = jax.random.key(1)
    assert value(Dropout(0.5, key)) == value(Dropout(0.5, key)) != value(None)
    assert value(Dropout(0.5, jax.random.key(2))) != value(Dropout(0.5, key))


def test_batches_are_arrays_of_the_batch_size_and_depend_on_the_step_alone(task, corpus):
    again = TranslationTask(corpus, MODEL, batch_size=32)
    for step in (0, 5):
        for name, array in task.batch(step).items():
            assert array.shape[0] == 32
            np.testing.assert_array_equal(array, again.batch(step)[name])


def test_the_seed_decides_the_order_of_the_batches(corpus):
    given = dataclasses.replace(corpus, validation=corpus.train, test=corpus.train)  # Nothing to split.
    one, two = (
        TranslationTask(dataclasses.replace(given, seed=seed), MODEL, batch_size=32) for seed in (0, 1)
    )
    assert (one.batch(0)["source"] != two.batch(0)["source"]).any()


def test_word_dropout_takes_other_source_tokens_at_every_step(task, corpus):
    noisy = TranslationTask(dataclasses.replace(corpus, word_dropout=0.5), MODEL, batch_size=32)
    clean, taken = ([t.batch(step)["source"] for step in (0, 1)] for t in (task, noisy))
    texts = (clean[0] != PAD) & (clean[1] != PAD)
    assert 0.4 < (taken[0] == UNK)[texts].mean() < 0.6
    assert ((taken[0] == UNK) != (taken[1] == UNK))[texts].any()
    np.testing.assert_array_equal(noisy.batch(0)["source"], taken[0])
    np.testing.assert_array_equal(noisy.batch(0)["target"], task.batch(0)["target"])


def test_translations_come_with_an_alignment_of_their_pieces(task, trained):
    texts = ["abc", "de", "edgca"]
    translations = task.translate(trained, texts)
    assert [translation.text for translation in translations] == [text.upper() for text in texts]
    for text, translation in zip(texts, translations, strict=True):
        assert translation.source_pieces == list(text)
        assert translation.target_pieces == list(text.upper())
        assert translation.alignment.shape == (len(text), len(text))
        np.testing.assert_allclose(translation.alignment.sum(1), 1, rtol=1e-5)
        assert translation.weights_of == "cross-attention of decoder layer 1 of 1, the mean of its 2 heads"


def test_a_translation_does_not_depend_on_its_neighbours(task, trained):
    alone = task.translate(trained, ["abc"])[0]
    together = task.translate(trained, ["abc", "edcba", "a", "bd", "cf"])[0]
    assert alone.text == together.text
    np.testing.assert_allclose(alone.alignment, together.alignment, rtol=1e-4, atol=1e-6)


def test_more_texts_than_are_decoded_together_keep_their_order(task, trained, monkeypatch):
    monkeypatch.setattr(inference, "ROWS", 4)
    texts = ["abc", "de", "edgca", "bd", "fc", "gab"]
    assert [each.text for each in task.translate(trained, texts)] == [text.upper() for text in texts]


def test_the_alignment_is_that_of_the_last_decoder_layer(corpus):
    task = TranslationTask(corpus, dataclasses.replace(MODEL, decoder_layers=2), batch_size=4)
    params, batch = jax.jit(task.init)(jax.random.key(0)), task.batch(0)
    asked = batch["source"], batch["source_lengths"], batch["target"]
    last = alignment(task.model(params), *asked, bos=BOS, layers=(1,))
    counts = np.full(len(batch["target"]), batch["target"].shape[1])
    found = force(task.model(params), *asked, counts=counts, bos=BOS).alignment
    np.testing.assert_allclose(found, last, rtol=1e-5, atol=1e-6)


def test_the_evaluation_of_a_corpus_has_rows_for_validation_and_test(task, trained, tmp_path):
    evaluation = task.evaluate(trained, tmp_path)
    assert list(evaluation.metrics) == ["validation", "test"]
    assert list(evaluation.metrics["test"]) == [
        *("chrF", "exact match %", "BLEU", "copies of the source %", "examples")
    ]
    assert evaluation.metrics["test"]["exact match %"] > 90
    assert evaluation.figures == [tmp_path / "alignment.png"]
    assert evaluation.figures[0].is_file()
    assert task.monitor == ("chrf", "max")


def test_the_evaluation_of_the_dates_has_rows_for_dates_and_pairs(tmp_path):
    data = TranslationData(locales=("de", "en"), examples=500, evaluation_examples=20)
    task = TranslationTask(data, MODEL, batch_size=8)
    evaluation = task.evaluate(jax.jit(task.init)(jax.random.key(0)), tmp_path)
    assert list(evaluation.metrics) == ["held-out dates", "unseen locale×format pairs"]
    assert list(evaluation.metrics["held-out dates"]) == ["exact match %", "chrF", "examples"]
    assert len(evaluation.samples) == 12
    assert task.monitor == ("exact_match", "max")


def test_a_task_knows_its_references_and_the_beginning_of_a_long_text(task, corpus):
    parts, _ = translation_splits(corpus)
    sources, targets = task.references()["test"]
    assert list(zip(sources, targets, strict=True)) == [(e.source, e.target) for e in parts["test"]]
    assert task.beginning("abc" * 100) == ("abc" * 100)[:256]
    assert task.beginning("abc") == "abc"
    assert task.too_long("a" * 256, "A" * 254) == ""
    assert task.too_long("a", "A" * 255) == "the target text has 257 tokens, the run takes 256"


def test_a_saved_task_translates_without_its_corpus(task, trained, tmp_path, corpus):
    task.save(tmp_path)
    elsewhere = TranslationData(train=tmp_path / "gone.tsv", holdout=0.1)
    loaded = TranslationTask(elsewhere, MODEL, batch_size=32, folder=tmp_path)
    assert loaded.translate(trained, ["abcde"])[0].text == "ABCDE"
    with pytest.raises(InputError, match=r"gone.tsv: cannot be read"):
        loaded.batch(0)


def test_a_saved_task_gives_the_same_batches(task, corpus, tmp_path):
    task.save(tmp_path)
    loaded = TranslationTask(corpus, MODEL, batch_size=32, folder=tmp_path)
    for name, array in task.batch(3).items():
        np.testing.assert_array_equal(array, loaded.batch(3)[name])


def test_a_text_that_is_too_long_is_refused(corpus, tmp_path):
    short = TranslationData(train=corpus.train, holdout=0.1, max_source_length=8)
    task = TranslationTask(short, MODEL, batch_size=8)
    with pytest.raises(InputError, match=r"has 9 tokens, data.max_source_length is 8"):
        task.read_input("abcdeabcd")


def test_texts_beyond_the_learned_positions_are_refused(corpus):
    model = dataclasses.replace(MODEL, max_length=4)
    with pytest.raises(InputError, match=r"model.max_length is 4: the texts need 8 learned positions"):
        TranslationTask(corpus, model, batch_size=8)
    task = TranslationTask(corpus, dataclasses.replace(model, max_length=8), batch_size=8)
    with pytest.raises(InputError, match=r"model.max_length is 8: the texts need 9 learned positions"):
        task.translate(jax.jit(task.init)(jax.random.key(0)), ["abcdeabcd"])


def test_bpe_trains_and_cuts_off_between_its_pieces(corpus):
    data = TranslationData(train=corpus.train, holdout=0.1, tokenizer="bpe", vocab_size=40)
    task = TranslationTask(data, MODEL, batch_size=8)
    assert len(task.encoder.source.pieces("abcde")) < 5
    assert task.encoder.target.decode(task.batch(0)["target"][0].tolist()[1:]).isupper()
    assert "".join(task.encoder.source.pieces("abcde")) == "abcde"
    short = TranslationTask(dataclasses.replace(data, max_source_length=7), MODEL, batch_size=8)
    beginning = short.beginning("abcdefgabcdefg")
    assert "abcdefgabcdefg".startswith(beginning)
    assert 5 <= len(short.encoder.source.encode([beginning])[0]) <= 7


def test_parameters_are_nested_dicts_of_arrays(task):
    params = jax.eval_shape(task.init, jax.random.key(0))
    assert isinstance(params, dict)
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(params))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == sum(
        leaf.size for leaf in jax.tree.leaves(nnx.state(task.build(nnx.Rngs(0)), nnx.Param))
    )
    assert jnp.issubdtype(jax.tree.leaves(params)[0].dtype, jnp.floating)


def test_further_tests_are_rows_and_the_worst_answers_are_kept(tmp_path):
    words = [f"{a}{b}{c}" for a in "abc" for b in "abc" for c in "abc"]
    files = {"train": words[:20], "news": words[20:23], "talks": words[23:]}
    for name, own in files.items():
        tagged = "" if name == "train" else "<2x> "
        lines = "".join(f"{tagged}{word}\t{word.upper()}\n" for word in own)
        (tmp_path / f"{name}.tsv").write_text(lines)
    tests = tmp_path / "news.tsv", tmp_path / "talks.tsv"
    data = TranslationData(train=tmp_path / "train.tsv", tests=tests, tags=("<2x>",), holdout=0.1)
    task = TranslationTask(data, MODEL, batch_size=8)
    evaluation = task.evaluate(jax.jit(task.init)(jax.random.key(0)), tmp_path)
    rows = evaluation.metrics
    assert {name: row["examples"] for name, row in rows.items()} == {"validation": 2, "news": 3, "talks": 4}
    assert len(task.batch(0)["source"]) == 8
    header, *lines = (tmp_path / "wrong.tsv").read_text().splitlines()
    assert header == "part\tchrF\tsource\ttranslation\treference"
    wrong = sum(row["examples"] * (1 - row["exact match %"] / 100) for row in rows.values())
    assert len(lines) == pytest.approx(wrong)
    assert task._untagged("<2x> abc") == "abc"
    for others in ((tests[0], tests[0]), (tmp_path / "train.tsv",)):
        with pytest.raises(InputError, match=r"data\.tests has .*: expected different names"):
            dataclasses.replace(data, tests=others)
