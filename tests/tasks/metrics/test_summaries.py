"""ROUGE and the shares of words, by hand."""

import builtins
from typing import Any

import pytest

from attnjax.config import InputError
from attnjax.tasks.metrics.summaries import in_text, repeated, require_rouge, rouge, share


def f1(precision: float, recall: float) -> float:
    return 100 * 2 * precision * recall / (precision + recall)


def test_rouge_is_the_f1_of_words_pairs_and_the_longest_subsequence() -> None:
    # Of 6 and 5 words 4 are common (the twice, cat, on); of 5 and 4 pairs one (the cat); the longest
    # subsequence is "the cat on the".
    found = rouge(["the cat sat on the mat"], ["the cat lay on the"])
    assert found["ROUGE-1"] == pytest.approx(f1(4 / 6, 4 / 5))
    assert found["ROUGE-2"] == pytest.approx(f1(2 / 5, 2 / 4))  # "the cat" and "on the".
    assert found["ROUGE-L"] == pytest.approx(f1(4 / 6, 4 / 5))
    turned = rouge(["mat the cat"], ["cat mat"])
    assert turned["ROUGE-1"] == pytest.approx(f1(2 / 3, 1))
    assert turned["ROUGE-2"] == 0
    assert turned["ROUGE-L"] == pytest.approx(f1(1 / 3, 1 / 2))


def test_rouge_is_the_mean_over_texts_and_knows_stems_and_no_marks() -> None:
    assert rouge(["Returning names.", "zebra"], ["returned name", "list"])["ROUGE-1"] == 50


def test_a_word_counts_as_often_as_both_have_it() -> None:
    assert rouge(["dog dog dog"], ["dog cat"])["ROUGE-1"] == pytest.approx(f1(1 / 3, 1 / 2))


def test_other_numbers_of_texts_and_none_are_refused() -> None:
    for outputs, references in ((["a"], ["a", "b"]), ([], [])):
        with pytest.raises(ValueError, match="expected as many, at least one"):
            rouge(outputs, references)


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def refusing(name: str, *rest: Any) -> Any:
        if name.startswith("rouge_score"):
            raise ImportError(name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refusing)
    with pytest.raises(InputError, match=r"pip install 'attnjax\[summaries\]'"):
        require_rouge()


def test_shares_of_words_by_hand() -> None:
    assert in_text("the list of the list", "a list of all") == (3, 5)
    assert repeated("a b a b a b") == (3, 5)
    assert repeated("a") == (0, 0)
    assert share([(3, 5), (0, 0), (1, 3)]) == 50
    assert share([(0, 0)]) == 0
