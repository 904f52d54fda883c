"""The metrics, on texts whose scores are known."""

import pytest

from attnjax.tasks.metrics.text import bleu, chrf, exact_match


def test_exact_match_counts_equal_texts_in_percent():
    assert exact_match(["a", "b", "c", "d"], ["a", "b", "c", "D"]) == 75.0


@pytest.mark.parametrize("metric", [exact_match, chrf, bleu])
def test_texts_of_different_number_and_none_at_all_are_refused(metric):
    for outputs, references in ((["a b c d"] * 3, ["a b c d"]), (["a"], ["a", "b"]), ([], [])):
        came = f"{len(outputs)} outputs and {len(references)} references came"
        with pytest.raises(ValueError, match=came):
            metric(outputs, references)


@pytest.mark.parametrize("metric", [chrf, bleu])
def test_chrf_and_bleu_run_from_0_to_100(metric):
    text = "the cat sat on the mat"
    assert metric([text], [text]) == pytest.approx(100)
    assert metric(["zzzzz"], [text]) == pytest.approx(0, abs=1e-9)


def test_chrf_is_the_f2_score_over_character_n_grams():
    # Unigrams: 2 of 2 right, 2 of 3 found; bigrams: 1 of 1, 1 of 2; trigrams: none possible in the output.
    # sacrebleu averages precision and recall over the orders that both texts have.
    precision, recall = 1.0, (2 / 3 + 1 / 2) / 2
    assert chrf(["ab"], ["abc"]) == pytest.approx(100 * 5 * precision * recall / (4 * precision + recall))


def test_bleu_is_of_the_corpus_not_the_mean_of_sentences():
    outputs, references = ["the cat sat on the mat", "a"], ["the cat sat on the mat", "b"]
    # Six of the corpus's seven words are right, and all of its longer n-grams.
    assert bleu(outputs, references) == pytest.approx(100 * (6 / 7) ** 0.25)
