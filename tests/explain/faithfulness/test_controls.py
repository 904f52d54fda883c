"""Metrics of a real model: deletion, agreement, what attention and parameters matter, by what is known."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.stats import spearmanr

from attnjax.config import InputError
from attnjax.explain import Attribution, Question, Target, ask, attribute
from attnjax.explain.faithfulness import (
    METRICS,
    adversarial_attention,
    attention_permutation,
    faithfulness,
    max_sensitivity,
    model_randomisation,
    seed_variance,
    uniform_attention,
)
from attnjax.explain.faithfulness.controls import divergence, outputs, permute, variation
from attnjax.explain.faithfulness.metrics import average_precision, pointing
from attnjax.explain.faithfulness.removal import deleted
from attnjax.models import Encoder, EncoderConfig, LanguageModel, LanguageModelConfig

TOKENS = jnp.array([[3, 1, 4, 1, 5], [2, 7, 1, 5, 0]])
LENGTHS = jnp.array([5, 4])
FIRST = np.arange(5) == np.zeros((2, 1))


def encoder(seed: int) -> Encoder:
    config = EncoderConfig(dim=8, heads=2, layers=2, head="labels", labels=3)
    return Encoder(config, vocab=11, rngs=nnx.Rngs(seed))


@pytest.fixture(scope="module")
def question() -> Question:
    return ask(encoder(0), TOKENS, lengths=LENGTHS, target=Target(1, "probability"))


@pytest.fixture(scope="module")
def alike(question: Question) -> Question:
    """Rows of one token: whatever is attended to, the values read are the same."""
    return question.with_tokens(jnp.full_like(TOKENS, 4))


def vectors_sum(asked: Question) -> Attribution:
    return Attribution(_sums(asked), asked.present, "sums")


_sums: Any = jax.jit(lambda asked: asked.vectors().sum(-1))


def test_deletion_is_the_question_about_the_shorter_text(question: Question) -> None:
    kept = jnp.array([[True, False, True, True, False], [True, True, False, True, True]])
    shorter = ask(
        encoder(0),
        jnp.array([[3, 4, 1], [2, 7, 5]]),
        lengths=jnp.array([3, 3]),
        target=Target(1, "probability"),
    )
    run = jax.jit(lambda asked: asked.value())
    np.testing.assert_allclose(run(deleted(question, kept)), run(shorter), atol=1e-6)
    assert np.abs(run(deleted(question, kept.at[0, 1].set(True))) - run(shorter))[0] > 1e-4


@pytest.mark.slow
def test_deletion_from_a_text_of_a_language_model_is_the_question_about_the_shorter_one() -> None:
    run = jax.jit(lambda asked: asked.value())
    model = LanguageModel(LanguageModelConfig(dim=8, heads=2, layers=1), vocab=11, rngs=nnx.Rngs(0))
    text = ask(model, TOKENS, lengths=LENGTHS, target=Target(2))
    few = ask(model, jnp.array([[3, 1, 5], [2, 7, 5]]), target=Target(2))
    kept = jnp.array([[True, False, False, True, True], [True, True, False, True, True]])
    np.testing.assert_allclose(run(deleted(text, kept)), run(few), atol=1e-5)


# Of the others each has a test of its own here or in `test_orders`.
SOME = ("comprehensiveness", "deletion_auc", "naopc", "auprc", "pointing_game", "uniform_attention")


@pytest.mark.parametrize(
    "metrics",
    [
        SOME,
        pytest.param([x for x in METRICS if x != "adversarial_attention"], marks=pytest.mark.slow, id="all"),
    ],
)
def test_all_metrics_stand_in_one_table(question: Question, metrics: Sequence[str]) -> None:
    other = ask(encoder(1), TOKENS, lengths=LENGTHS, target=Target(1, "probability"))
    right = np.array([[0, 1, 0, 0, 0], [0, 0, 1, 0, 1]], bool)
    found = faithfulness(
        question,
        {"attention": "raw", "occlusion": "occlusion"},
        metrics,
        rationale=right,
        protected=FIRST,
        removal="delete",
        others=(other,),
        orders=4,
    )
    table = found.table
    assert list(table) == ["attention", "occlusion", "random order", "best order", "rationale", "model"]
    assert all(np.isfinite(list(row.values())).all() for row in table.values())
    assert set(table["attention"]) | set(table["model"]) == set(metrics)
    assert table["rationale"]["auprc"] == table["rationale"]["pointing_game"] == 1
    assert table["best order"]["naopc"] == 1
    assert 0 < table["random order"]["auprc"] < 1
    text = str(found)
    assert "comprehensiveness ↑" in text
    assert "deletion_auc ↓" in text
    assert "removed by deletion" in text
    assert "±" in next(line for line in text.splitlines() if line.startswith("random order"))
    # The rationale's mark on padding is none.
    scores = np.asarray(attribute("raw", question).scores, np.float64)
    expected = [
        average_precision(scores[0], right[0], ~FIRST[0]),
        average_precision(scores[1, 1:4], right[1, 1:4], np.ones(3, bool)),
    ]
    np.testing.assert_allclose(found.values["attention"]["auprc"], expected)


def test_agreement_by_its_definition() -> None:
    """Precision at each token that is right, were no two scores equal; equal ones come together."""
    rng = np.random.default_rng(0)
    here = np.ones(9, bool)
    for _ in range(20):
        scores, right = rng.permutation(9).astype(float), rng.random(9) < 0.4
        right[0] = True
        order = np.argsort(-scores)
        hits = right[order]
        precisions = [hits[: i + 1].mean() for i in range(9) if hits[i]]
        assert average_precision(scores, right, here) == pytest.approx(np.mean(precisions))
        assert pointing(scores, right, here) == float(hits[0])
    assert average_precision(np.zeros(4), np.array([1, 0, 0, 0], bool), np.ones(4, bool)) == 0.25
    assert average_precision(np.array([9.0, 1, 0]), np.array([0, 1, 0], bool), np.array([0, 1, 1], bool)) == 1


def test_divergence_and_variation_by_their_formulas() -> None:
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(4), 3), rng.dirichlet(np.ones(4), 3)
    p[0] = [0.5, 0.5, 0, 0]
    m = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        to = [np.where(x > 0, x * np.log(x / m), 0).sum(-1) for x in (p, q)]
    np.testing.assert_allclose(divergence(p, q), sum(to) / 2, atol=1e-6)
    np.testing.assert_allclose(
        variation(jnp.asarray(p), jnp.asarray(q)), np.abs(p - q).sum(-1) / 2, atol=1e-6
    )
    assert np.isfinite(jax.grad(lambda p: divergence(p, jnp.asarray(q)).sum())(jnp.asarray(p))).all()


def test_a_permutation_moves_weights_among_the_keys_that_have_them() -> None:
    x = jnp.asarray(np.random.default_rng(0).dirichlet(np.ones(5), (2, 3))).at[..., 3].set(0)
    moved = np.asarray(permute(jax.random.key(0))(x))
    np.testing.assert_array_equal(moved[..., 3], 0)
    np.testing.assert_allclose(np.sort(moved), np.sort(x), atol=0)
    assert (moved != np.asarray(x)).any(-1).mean() > 0.5


def test_attention_that_does_not_matter_is_found_out(question: Question, alike: Question) -> None:
    """Of equal tokens the output stays: an adversary ends with all weight on one other key."""
    assert attention_permutation(alike, orders=4).max() < 1e-5
    assert uniform_attention(alike).max() < 1e-5
    assert attention_permutation(question, orders=4).min() > 1e-4
    apart, change = adversarial_attention(alike, steps=200)
    weights = np.asarray(alike.read("blocks.1.attention.weights")["blocks.1.attention.weights"])[:, :, 0]
    for row, count in enumerate((5, 4)):
        ends = [[divergence(w[:count], np.eye(count)[key]) for key in range(count)] for w in weights[row]]
        both = np.add.outer(*np.asarray(ends)) / 2  # Of one key for each head.
        assert np.abs(apart[row] - both).min() < 5e-3
        assert 0.85 * both.max() < apart[row] < both.max() + 1e-5
    assert change.max() <= 1e-2


@pytest.mark.slow
def test_an_adversary_that_may_change_less_ends_nearer(question: Question, alike: Question) -> None:
    apart, _ = adversarial_attention(alike, steps=200)
    strict, kept = adversarial_attention(question, epsilon=1e-4, steps=200)
    assert kept.max() <= 1e-4
    assert strict.max() < apart.min()


def test_uniform_weights_are_those_of_a_mean(question: Question) -> None:
    weights = {f"blocks.{i}.attention.weights" for i in range(2)}

    def mean(x):
        seen = np.asarray(question.present)[:, None, None]
        return jnp.broadcast_to(seen / seen.sum(-1, keepdims=True), x.shape)

    own = outputs(question)
    expected = np.abs(np.asarray(own - outputs(question, dict.fromkeys(weights, mean)))).sum(-1) / 2
    np.testing.assert_allclose(uniform_attention(question), expected, atol=1e-6)


def test_sensitivity_is_the_largest_change_of_the_scores(question: Question) -> None:
    size = 0.1 * float(jnp.abs(question.vectors()).max())
    found = max_sensitivity(question, vectors_sum, radius=0.1, samples=3, seed=5)
    plain = np.asarray(question.vectors().sum(-1), np.float64)
    changes = []
    for key in jax.random.split(jax.random.key(5), 3):
        noise = jax.random.uniform(key, question.vectors().shape, jnp.float32, -size, size)
        changes.append(np.linalg.norm(noise.sum(-1), axis=-1))
    np.testing.assert_allclose(found, np.max(changes, axis=0) / np.linalg.norm(plain, axis=-1), rtol=1e-4)
    still = max_sensitivity(question, lambda asked: Attribution(np.ones((2, 5)), asked.present), samples=2)
    np.testing.assert_array_equal(still, 0)


def test_a_map_that_does_not_see_the_model_stays_when_it_is_shuffled(question: Question) -> None:
    """Raw attention of the last layer does not see the head, and sees all that is below."""
    positions = model_randomisation(
        question, lambda asked: Attribution(np.arange(10.0).reshape(2, 5), asked.present)
    )
    assert positions.shape == (4, 2)  # The head and norm, two blocks, the embedding.
    np.testing.assert_allclose(positions, 1)
    raw = model_randomisation(question, lambda asked: attribute("raw", asked))
    np.testing.assert_allclose(raw[0], 1, atol=1e-6)
    assert raw[1:].min() < 0.99
    # The last stage alone shuffles the embedding.
    sums = model_randomisation(question, vectors_sum)
    np.testing.assert_allclose(sums[:3], 1, atol=1e-6)
    assert sums[3].min() < 0.99
    assert spearmanr([1, 2, 3], [1, 3, 2]).statistic == pytest.approx(0.5)


def test_models_of_other_seeds_have_other_maps(question: Question) -> None:
    other = ask(encoder(1), TOKENS, lengths=LENGTHS, target=Target(1, "probability"))
    raw = partial(attribute, "raw")
    np.testing.assert_allclose(seed_variance(question, (question,), raw), 0, atol=1e-6)
    found = seed_variance(question, (question, other), raw)
    own, its = (np.asarray(raw(asked).scores) for asked in (question, other))
    np.testing.assert_allclose(found, np.asarray(divergence(own, its)) / 2, atol=1e-5)
    assert found.min() > 1e-5


def test_a_mechanism_without_such_weights_is_refused() -> None:
    config = EncoderConfig(dim=8, heads=2, layers=1, head="labels", mechanism="fnet", positions="none")
    model = Encoder(config, vocab=11, rngs=nnx.Rngs(0))
    with pytest.raises(InputError, match="has no weights of attention"):
        uniform_attention(ask(model, TOKENS, target=Target(0)))
