"""Heads, paths and attacks on models made by hand or run in a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.explain import (
    Question,
    Target,
    ablate_heads,
    ask,
    hot_flip,
    induction_scores,
    patch,
    patch_paths,
    previous_token_scores,
    reduce_input,
)
from attnjax.models import LanguageModel, LanguageModelConfig

PERIOD = 3
TOKENS = jnp.tile(jnp.array([[3, 1, 4]]), (1, 2))
SITE = "blocks.{}.attention.{}"


@pytest.fixture(scope="module")
def question() -> Question:
    model = LanguageModel(LanguageModelConfig(dim=8, heads=2, layers=2), vocab=11, rngs=nnx.Rngs(0))
    return ask(model, TOKENS)


def test_scores_of_heads_are_means_of_their_diagonals(question: Question) -> None:
    weights = jax.jit(lambda asked: asked.read("*.weights"))(question)
    maps = np.stack([np.asarray(weights[SITE.format(i, "weights")])[0] for i in range(2)])
    before = maps[:, :, np.arange(1, 6), np.arange(5)].mean(-1)
    np.testing.assert_allclose(previous_token_scores(question)[..., 0], before, atol=1e-6)
    rows = np.arange(PERIOD, 6)
    expected = maps[:, :, rows, rows - PERIOD + 1].mean(-1)
    np.testing.assert_allclose(induction_scores(question, PERIOD)[..., 0], expected, atol=1e-6)


def test_ablated_heads_are_those_of_a_loop(question: Question) -> None:
    @jax.jit
    def without(asked: Question, layer: jax.Array, head: jax.Array) -> jax.Array:
        chosen = (jnp.arange(2) == head)[:, None]
        write = {SITE.format(i, "heads"): patch(0.0, chosen & (layer == i)) for i in range(2)}
        return asked.value() - asked.value(write)

    expected = [[without(question, layer, head) for head in range(2)] for layer in range(2)]
    found = ablate_heads(question)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found).min() > 1e-5
    assert np.abs(np.asarray(ablate_heads(question, "mean")) - found).max() > 1e-4


def test_paths_are_patched_as_two_runs_do_by_hand(question: Question) -> None:
    """Run by run: the head of another input with the heads above it as they were; then its receiver alone."""
    other, query = question.with_tokens(TOKENS[:, ::-1]), SITE.format(1, "query")
    found, direct = patch_paths(question, other, query), patch_paths(question, other)

    @jax.jit
    def by_hand(asked: Question, other: Question) -> tuple[jax.Array, ...]:
        first, second = (SITE.format(i, "heads") for i in range(2))
        clean, sent = asked.read(second)[second], other.read(first)[first]
        write = {first: patch(sent, jnp.array([[False], [True]])), second: patch(clean)}
        received = asked.read(query, write=write)[query]
        return asked.value({query: patch(received)}) - asked.value(), asked.value(write) - asked.value()

    to_query, to_logits = by_hand(question, other)
    np.testing.assert_allclose(found[0, 1], to_query, atol=1e-6)
    np.testing.assert_allclose(direct[0, 1], to_logits, atol=1e-6)
    np.testing.assert_array_equal(found[1], 0)  # Nothing of the last layer goes to its own queries.
    assert min(np.abs(x).max() for x in (to_query, to_logits)) > 1e-5
    with pytest.raises(InputError, match=r"other \[1, 5\]: expected an input of the shape \[1, 6\]"):
        patch_paths(question, question.with_tokens(TOKENS[:, 1:]))


def test_attacks_end_where_the_answer_turns(question: Question) -> None:
    answer = int(question.target.index[0])

    def answers(tokens: list[int]) -> int:
        row = jnp.asarray([tokens + [0] * (6 - len(tokens))])
        logits = asked(question.model, row, jnp.array([len(tokens)]))
        return int(logits[0, len(tokens) - 1].argmax())

    asked = nnx.jit(lambda model, row, lengths: model(row, lengths=lengths).logits)
    flipped = hot_flip(question)
    assert flipped.succeeded == (answers(flipped.tokens) != answer)
    assert [i for i in range(6) if flipped.tokens[i] != TOKENS[0, i]] == sorted(
        i for i in flipped.changed if flipped.tokens[i] != TOKENS[0, i]
    )
    reduced = reduce_input(question)
    assert answers(reduced.tokens) == answer
    assert len(reduced.tokens) + len(reduced.changed) == 6
    kept = reduce_input(question, ignore={int(TOKENS[0, 0])})
    assert kept.tokens.count(int(TOKENS[0, 0])) == 2
    with pytest.raises(InputError, match="hot_flip: 2 inputs came, expected one"):
        hot_flip(ask(question.model, jnp.tile(TOKENS, (2, 1)), target=Target(1)))


def test_a_question_keeps_its_class_with_another_number(question: Question) -> None:
    @jax.jit
    def numbers(asked: Question) -> tuple[jax.Array, jax.Array]:
        return asked.with_target(Target(of="probability")).value(), asked.run().logits[0, -1]

    probability, logits = numbers(question)
    expected = np.exp(logits - logits.max())
    np.testing.assert_allclose(probability, expected.max() / expected.sum(), rtol=1e-5)
