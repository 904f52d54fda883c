"""Associative recall: a question's answer is the value that stood beside its key; nothing else is asked."""

import numpy as np
import pytest

from attnjax.data.synthetic.config import RecallData
from attnjax.data.synthetic.questions import AS_TRAINED, NOT_ASKED, Split, stream
from attnjax.data.synthetic.recall import BLANK, MOST, TWICE, Recall

DATA = Recall(RecallData(vocab=40, pairs=6, length=30))


def told(row: np.ndarray) -> dict[int, int]:
    """The pairs that a sequence begins with, read token by token."""
    pairs, at = {}, 0
    while at + 1 < len(row) and row[at + 1] >= DATA.vocab // 2:
        assert row[at] not in pairs
        pairs[row[at]] = row[at + 1]
        at += 2
    return pairs


def mistakes(made: dict[str, np.ndarray], numbers: set[int]) -> list[str]:
    """What is wrong with sequences of such numbers of pairs, by the definition."""
    found = []
    for row, answers in zip(made["tokens"].tolist(), made["answers"].tolist(), strict=True):
        pairs = told(row)
        rest = range(2 * len(pairs), len(row))
        asked = [at for at in range(len(row)) if answers[at] != NOT_ASKED]
        right = all(at in rest and pairs.get(row[at]) == answers[at] for at in asked)
        checks = {
            "number": len(pairs) in numbers,
            "keys": all(0 < key < DATA.vocab // 2 for key in pairs),
            "values": len(set(pairs.values())) == len(pairs) and max(pairs.values()) < DATA.vocab,
            "answers": right,
            "each once": sorted(row[at] for at in asked) == sorted(pairs),
            "places": all((at - 2 * len(pairs)) % 2 == 0 for at in asked),
            "blanks": all(row[at] == BLANK for at in rest if at not in asked),
        }
        found += [name for name, fine in checks.items() if not fine]
    return found


@pytest.mark.parametrize(
    ("setting", "numbers", "length"),
    [(AS_TRAINED, set(range(1, 7)), 30), (MOST, {6}, 30), (TWICE, {12}, 48)],
)
def test_sequences_are_as_defined(setting: str, numbers: set[int], length: int) -> None:
    made = DATA.rows(200, np.random.default_rng(0), setting)
    assert made["tokens"].shape == made["answers"].shape == (200, length)
    assert {array.dtype for array in made.values()} == {np.dtype(np.int32)}
    assert mistakes(made, numbers) == []
    assert {len(told(row)) for row in made["tokens"].tolist()} == numbers


@pytest.mark.parametrize("name", ["answers", "tokens"])
def test_another_value_or_key_is_seen(name: str) -> None:
    made = DATA.rows(1, np.random.default_rng(0), MOST)
    at = int(np.argmax(made["answers"][0] != NOT_ASKED))
    made[name][0, at] -= 1
    assert "answers" in mistakes(made, {6})


def test_places_are_drawn_by_the_power_law_without_replacement() -> None:
    """Two keys on three places: the chance of each order, from the definition."""
    data = Recall(RecallData(vocab=10, pairs=2, length=10, power=0.5))
    made = data.rows(40_000, np.random.default_rng(0), MOST)
    weights = np.arange(1, 4) ** -0.5
    for first in range(3):
        asked_first = made["tokens"][:, 4 + 2 * first] == made["tokens"][:, 0]
        assert abs(asked_first.mean() - weights[first] / weights.sum()) < 0.01
        for second in {0, 1, 2} - {first}:
            both = asked_first & (made["tokens"][:, 4 + 2 * second] == made["tokens"][:, 2])
            rest = weights.sum() - weights[first]
            expected = weights[first] / weights.sum() * weights[second] / rest
            assert abs(both.mean() - expected) < 0.01


def test_rows_follow_from_seed_part_and_step_alone() -> None:
    def tokens(*where: int) -> np.ndarray:
        return DATA.rows(8, stream(*where))["tokens"]

    assert (tokens(1, Split.TRAIN, 7) == tokens(1, Split.TRAIN, 7)).all()
    for other in ((1, Split.TRAIN, 8), (1, Split.VALIDATION, 7), (1, Split.TEST, 7), (2, Split.TRAIN, 7)):
        assert (tokens(1, Split.TRAIN, 7) != tokens(*other)).any()
