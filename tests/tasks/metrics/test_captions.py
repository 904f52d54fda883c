"""The metrics of captions, against numbers of pycocoevalcap 1.2 on the same texts, and by hand."""

import math

import pytest

from attnjax.tasks.metrics.captions import any_exact, cider, rouge_l
from attnjax.tasks.metrics.text import bleu_of_several

OUTPUTS = ["a red ring left of two blue squares", "two discs above a cross", "a dog", "one green ring ring"]
REFERENCES = [
    ["a red ring left of two blue squares", "two blue squares right of a red ring"],
    ["two green discs above a red cross"],
    ["three cats on a mat", "cats sit on a mat", "a dog and three cats"],
    ["one green ring below one blue ring", "a ring"],
]


def test_scores_are_those_of_pycocoevalcap() -> None:
    # Cider, Rouge and Bleu of pycocoevalcap, times a hundred, without its Java tokeniser.
    assert cider(OUTPUTS, REFERENCES) == pytest.approx(344.6099624849287, abs=1e-9)
    assert rouge_l(OUTPUTS, REFERENCES) == pytest.approx(75.81587921074427, abs=1e-9)
    assert bleu_of_several(OUTPUTS, REFERENCES) == pytest.approx(66.31228811305043, abs=1e-4)


def test_cider_of_two_words_is_what_its_definition_gives() -> None:
    # Both images have one reference; "a" is in both, so that its weight log(2/2) is 0. Of "a ring" against
    # "a disc" nothing is left; "a disc" is right in its words and in its only bigram, and has no longer runs.
    assert cider(["a ring", "a disc"], [["a disc"], ["a disc"]]) == 0  # Nothing tells the images apart.
    found = cider(["a ring", "a ring"], [["a ring"], ["a disc"]])
    assert found == pytest.approx(1000 * (1 + 1 + 0 + 0) / 4 / 2)
    longer = cider(["a ring ring", "a x"], [["a ring"], ["a disc"]])
    # tf-idf 2 against 1, cut to 1; of bigrams (a ring), (ring ring) against (a ring); one bigram too many.
    expected = (1 / 2 + 1 / math.sqrt(2)) / 4 * math.exp(-1 / 72)
    assert longer == pytest.approx(1000 * expected / 2)


def test_texts_of_different_number_and_without_reference_are_refused() -> None:
    for metric in (cider, rouge_l, any_exact):
        for outputs, references in ((["a"], []), ([], []), (["a"], [[]])):
            with pytest.raises(ValueError, match=f"^{len(outputs)} outputs and references of"):
                metric(outputs, references)
