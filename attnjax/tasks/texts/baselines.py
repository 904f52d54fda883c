"""Baselines of labelled texts that know no order of words: the commonest label, and weighed words.

References:
  Spärck Jones, A Statistical Interpretation of Term Specificity, 1972 (inverse document frequency).
"""

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from attnjax.tasks.linear_fit import linear_fit

LEAST_TEXTS = 2
"""Texts of training in which a term has to stand to count."""


def text_baselines(
    texts: Mapping[str, Sequence[str]], labels: Mapping[str, np.ndarray], *, classes: bool
) -> dict[str, np.ndarray]:
    """Returns by name what each baseline gives for the test texts: probabilities [n, L], or numbers [n].

    Args:
      texts: of the parts "train" and "test".
      labels: of the parts, numbers of classes or other numbers.
      classes: True for classes.
    """
    count, train = len(texts["test"]), labels["train"]
    constant = np.bincount(train, minlength=int(train.max()) + 1) / len(train) if classes else train.mean()
    words = _weighed(texts["train"], train, texts["test"], classes=classes)
    kind = "logistic regression" if classes else "ridge regression"
    return {
        "commonest label" if classes else "mean label": np.repeat(constant[None], count, axis=0),
        f"TF-IDF, {kind}": words,
    }


def terms(text: str) -> list[str]:
    """Returns the words of two letters or more, in small letters, and the pairs of neighbours.

    Example:
      >>> terms("A good film")
      ['good', 'film', 'good film']
    """
    words = re.findall(r"\b\w\w+\b", text.lower())
    return [*words, *(f"{a} {b}" for a, b in itertools.pairwise(words))]


def _weighed(train: Sequence[str], labels: np.ndarray, test: Sequence[str], *, classes: bool) -> np.ndarray:
    """Returns probabilities or numbers by softmax or ridge regression on TF-IDF vectors of length 1."""
    from scipy import sparse
    from scipy.special import softmax

    counted = [Counter(terms(text)) for text in train]
    spread = Counter(term for own in counted for term in own)
    places = {term: i for i, term in enumerate(sorted(t for t, n in spread.items() if n >= LEAST_TEXTS))}
    rarity = {t: np.log((1 + len(train)) / (1 + spread[t])) + 1 for t in places}

    def vectors(rows: Sequence[Mapping[str, int]]) -> Any:
        entries = [
            (i, places[t], n * rarity[t]) for i, own in enumerate(rows) for t, n in own.items() if t in places
        ]
        row, column, value = (np.array(x) for x in zip(*entries, strict=True)) if entries else ([], [], [])
        found = sparse.csr_array((value, (row, column)), shape=(len(rows), len(places)))
        lengths = np.sqrt(np.asarray((found * found).sum(axis=1)))
        return sparse.diags_array(1 / np.maximum(lengths, 1e-12)) @ found

    x, unseen = vectors(counted), vectors([Counter(terms(text)) for text in test])
    width = int(labels.max()) + 1 if classes else 1
    mean, scale = (0.0, 1.0) if classes else (float(labels.mean()), float(labels.std()) or 1.0)
    wanted = np.eye(width)[labels] if classes else ((labels - mean) / scale)[:, None]
    kernel, bias = linear_fit(x, wanted, classes=classes)
    given = unseen @ kernel + bias
    return softmax(given, axis=1) if classes else given[:, 0] * scale + mean
