"""Kneser–Ney n-grams against the literal formula, and that probabilities sum to one."""

from collections import Counter

import numpy as np
import pytest

from attnjax.tasks.language.kneser_ney import KneserNey

VOCAB, MARK = 5, 4
RNG = np.random.default_rng(0)
DOCUMENTS = [RNG.choice(4, 40, p=[0.5, 0.3, 0.15, 0.05]), RNG.integers(0, 3, 17), np.array([0])]


class Literal:
    """The formula of the docstring, n-gram by n-gram, in dictionaries."""

    def __init__(self, order: int) -> None:
        padded = [[MARK] * (order - 1) + own.tolist() + [MARK] for own in DOCUMENTS]
        grams = [tuple(own[i : i + order]) for own in padded for i in range(len(own) - order + 1)]
        self.counts = {order: Counter(grams)}
        for length in range(order - 1, 0, -1):
            self.counts[length] = Counter(gram[1:] for gram in self.counts[length + 1])

    def __call__(self, history: tuple[int, ...], token: int) -> float:
        length = len(history) + 1
        counts = self.counts[length]
        shorter = self(history[1:], token) if history else 1 / VOCAB
        after = {gram: n for gram, n in counts.items() if gram[:-1] == history}
        if not after:
            return shorter
        once, twice = (sum(n == k for n in counts.values()) for k in (1, 2))
        discount = once / (once + 2 * twice) if once and twice else 0.5
        total = sum(after.values())
        kept = max(counts[(*history, token)] - discount, 0)
        return kept / total + discount * len(after) / total * shorter


@pytest.mark.parametrize("order", [1, 2, 4])
def test_probabilities_are_those_of_the_formula_and_sum_to_one(order: int) -> None:
    model, literal = KneserNey(DOCUMENTS, order, vocab=VOCAB, mark=MARK), Literal(order)
    histories = RNG.integers(0, VOCAB, (30, order - 1))
    every = np.stack([model.log_p(histories, np.full(30, token)) for token in range(VOCAB)])
    expected = [[literal(tuple(h), token) for h in histories.tolist()] for token in range(VOCAB)]
    np.testing.assert_allclose(np.exp(every), expected, rtol=1e-12)
    np.testing.assert_allclose(np.exp(every).sum(0), 1, rtol=1e-12)


def test_a_row_of_documents_is_read_document_by_document() -> None:
    model, literal = KneserNey(DOCUMENTS, 3, vocab=VOCAB, mark=MARK), Literal(3)
    row = np.array([1, 0, MARK, 2, 0, 0])
    segments, answers = np.array([0, 0, 1, 1, 1, 1]), np.array([0, MARK, 2, 0, 0, 1])
    histories = [(MARK, 1), (1, 0), (MARK, MARK), (MARK, 2), (2, 0), (0, 0)]
    expected = [literal(h, w) for h, w in zip(histories, answers.tolist(), strict=True)]
    np.testing.assert_allclose(np.exp(model.log_p_of(row, segments, answers)), expected, rtol=1e-12)


def test_an_order_that_does_not_fit_a_key_is_made_smaller() -> None:
    documents = [np.arange(30) % 256]
    assert KneserNey(documents, 20, vocab=257, mark=256).order == 7
