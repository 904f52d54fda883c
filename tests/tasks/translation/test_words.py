"""Links between words and their error rate, against the definitions written out."""

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.tasks.metrics.alignment import alignment_error_rate, read_gold
from attnjax.tasks.translation.words import word_links, words_of


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        (["a", "b", " ", "c"], [0, 0, -1, 1]),
        (["▁ab", "c", "▁", "d"], [0, 0, -1, 1]),
        (["▁", " ", "a"], [-1, -1, 0]),
        (["a", "", "", " ", "", "b"], [0, 0, 0, -1, -1, 1]),
        ([], []),
    ],
)
def test_pieces_belong_to_the_words_of_their_text(pieces, words):
    assert words_of(pieces) == words


def test_a_word_looks_at_the_word_with_the_largest_sum():
    rng = np.random.default_rng(0)
    source, target = ["▁a", "b", "▁c", "▁", "d", "e"], ["f", "▁g", "h", "▁i"]
    of_source, of_target = words_of(source), words_of(target)
    for _ in range(20):
        weights = rng.dirichlet(np.ones(6), size=4)
        expected = []
        for word in range(3):
            rows = [i for i, own in enumerate(of_target) if own == word]
            sums = [
                sum(weights[i, j] for i in rows for j, own in enumerate(of_source) if own == place)
                / len(rows)
                for place in range(3)
            ]
            expected.append((int(np.argmax(sums)), word))
        assert word_links(weights, source, target) == sorted(expected)
    assert word_links(np.zeros((1, 0)), [], ["a"]) == []


def test_the_error_rate_is_that_of_och_and_ney():
    rng = np.random.default_rng(1)
    gold = [read_gold(line, "g:1") for line in ("0-0 1p1 2-1", "1?0", "")]
    found = [{(int(a), int(b)) for a, b in rng.integers(0, 3, (n, 2))} for n in (4, 2, 1)]
    both = sum(len(a & g.sure) + len(a & g.possible) for a, g in zip(found, gold, strict=True))
    size = sum(len(a) + len(g.sure) for a, g in zip(found, gold, strict=True))
    assert alignment_error_rate(found, gold) == 1 - both / size
    assert alignment_error_rate([g.sure for g in gold], gold) == 0
    assert alignment_error_rate([[(5, 5)]] * 3, gold) == 1
    assert gold[0].possible == {(0, 0), (1, 1), (2, 1)}


def test_words_below_the_first_are_named():
    assert read_gold("1-2", "g:1", first=1).sure == {(0, 1)}
    with pytest.raises(InputError, match="g:1: '0-1', expected words from 1 on"):
        read_gold("0-1", "g:1", first=1)
