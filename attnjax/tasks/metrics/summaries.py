"""The field's metrics of summaries, in percent. The only file that touches rouge-score."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from attnjax.config import InputError

ROUGES = {"ROUGE-1": "rouge1", "ROUGE-2": "rouge2", "ROUGE-L": "rougeL"}
"""The names of the columns, and what the library calls them."""


def rouge(outputs: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Returns the mean F1 of single words, of pairs, and of the longest common subsequence, 0 to 100.

    Words are what is made of letters and digits; those of four letters and more are cut to their stems
    (Porter), as reports of summaries have it.

    Args:
      outputs: summaries.
      references: as many.

    Raises:
      InputError: the library is not installed.
      ValueError: other numbers of both, or none.

    References:
      Lin, ROUGE: A Package for Automatic Evaluation of Summaries, 2004.

    Example:
      >>> {name: round(score, 1) for name, score in rouge(["a red ring"], ["the red ring"]).items()}
      {'ROUGE-1': 66.7, 'ROUGE-2': 50.0, 'ROUGE-L': 66.7}
    """
    rows = rouge_rows(outputs, references)
    return {name: float(np.mean([row[name] for row in rows])) for name in ROUGES}


def rouge_rows(outputs: Sequence[str], references: Sequence[str]) -> list[dict[str, float]]:
    """Returns the scores of `rouge` of each pair."""
    if len(outputs) != len(references) or not outputs:
        raise ValueError(
            f"{len(outputs)} outputs and {len(references)} references came: expected as many, at least one"
        )
    scorer = _scorer()
    found = (scorer.score(reference, output) for output, reference in zip(outputs, references, strict=True))
    return [{name: 100 * row[own].fmeasure for name, own in ROUGES.items()} for row in found]


def require_rouge() -> None:
    """Raises InputError where the library is not installed."""
    _scorer()


def in_text(summary: str, text: str) -> tuple[int, int]:
    """Returns how many words of a summary its text has, and how many words it has.

    >>> in_text("return the list", "a list of the words")
    (2, 3)
    """
    known, words = set(text.split()), summary.split()
    return sum(word in known for word in words), len(words)


def repeated(summary: str) -> tuple[int, int]:
    """Returns how many pairs of neighbouring words came before in the summary, and how many pairs it has.

    >>> repeated("the list of the list")
    (1, 4)
    """
    words = summary.split()
    pairs = list(itertools.pairwise(words))
    return len(pairs) - len(set(pairs)), len(pairs)


def share(counts: Sequence[tuple[int, int]]) -> float:
    """Returns how many of how many, over all, in percent.

    >>> share([(1, 3), (1, 1)])
    50.0
    """
    return 100 * sum(found for found, _ in counts) / max(1, sum(total for _, total in counts))


def _scorer() -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        raise InputError(
            "ROUGE needs the package rouge-score, which is not installed: pip install 'attnjax[summaries]'"
        ) from None
    return RougeScorer(list(ROUGES.values()), use_stemmer=True)
