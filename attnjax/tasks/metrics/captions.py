"""The field's metrics of captions with several references each, by their definitions. Nothing runs Java.

Words are what spaces separate, in small letters: COCO's evaluation server tokenises with Stanford's PTB
tokeniser before, which takes punctuation away. The captions that are drawn here have none.
"""

import math
from collections import Counter
from collections.abc import Sequence

LONGEST = 4
"""Words of an n-gram of CIDEr."""
_SIGMA = 6.0
"""Of the penalty of lengths, in bigrams."""
_BETA = 1.2
"""The weight of recall in ROUGE-L, as COCO's evaluation has it."""

References = Sequence[Sequence[str]]
Counts = Counter[tuple[str, ...]]


def cider(outputs: Sequence[str], references: References) -> float:
    """Returns CIDEr-D of the corpus, 0 to 1000: a hundred times that of pycocoevalcap, as papers print it.

    For each n up to 4 it is the cosine of tf-idf vectors of n-grams, the output's entries cut to those of the
    reference, times exp(-δ²/2σ²) with the difference δ of lengths; the mean over references, n and images,
    times ten. The document frequency is that of the references' images.

    References:
      Vedantam et al., CIDEr: Consensus-based Image Description Evaluation, 2014, arXiv:1411.5726.

    Example:
      >>> round(cider(["a red ring", "two discs"], [["a red ring", "one ring"], ["two blue discs"]]), 2)
      313.32
    """
    _require(outputs, references)
    held = [[_counts(text) for text in texts] for texts in references]
    seen: Counts = Counter()
    for texts in held:
        seen.update(set().union(*texts))
    documents = math.log(len(references))
    scores = []
    for output, texts in zip(outputs, held, strict=True):
        own = _counts(output)
        scores.append(sum(_similar(own, other, seen, documents) for other in texts) / len(texts))
    return 100 * 10 * sum(scores) / len(scores)


def rouge_l(outputs: Sequence[str], references: References) -> float:
    """Returns ROUGE-L, 0 to 100: the F-measure of the longest common subsequence of words, β = 1.2.

    Precision and recall are each those of the reference where they are greatest; the mean over images.

    References:
      Lin, ROUGE: A Package for Automatic Evaluation of Summaries, 2004.

    Example:
      >>> round(rouge_l(["a red ring"], [["a large red ring", "a ring"]]), 2)
      100.0
    """
    _require(outputs, references)
    total = 0.0
    for output, texts in zip(outputs, references, strict=True):
        own = _words(output)
        pairs = [(_common(own, other), len(other)) for other in map(_words, texts)]
        precision = max(common / max(len(own), 1) for common, _ in pairs)
        recall = max(common / max(length, 1) for common, length in pairs)
        if precision and recall:
            total += (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)
    return 100 * total / len(outputs)


def any_exact(outputs: Sequence[str], references: References) -> float:
    """Returns the share of outputs that equal one of their references, 0 to 100.

    >>> any_exact(["a ring", "a disc"], [["one ring", "a ring"], ["a square"]])
    50.0
    """
    _require(outputs, references)
    return 100 * sum(map(_is_one_of, outputs, references)) / len(outputs)


def _is_one_of(output: str, texts: Sequence[str]) -> bool:
    return output in texts


def _counts(text: str) -> Counts:
    words = _words(text)
    return Counter(
        tuple(words[start : start + n]) for n in range(1, LONGEST + 1) for start in range(len(words) - n + 1)
    )


def _similar(own: Counts, other: Counts, seen: Counts, documents: float) -> float:
    """Returns the mean over n of the cosines, times the penalty of lengths."""
    vectors = [
        {gram: count * (documents - math.log(max(1, seen[gram]))) for gram, count in counts.items()}
        for counts in (own, other)
    ]
    mine, its = vectors
    cosines = []
    for n in range(1, LONGEST + 1):
        norms = [math.sqrt(sum(x * x for gram, x in vector.items() if len(gram) == n)) for vector in vectors]
        product = sum(
            min(x, its.get(gram, 0.0)) * its.get(gram, 0.0) for gram, x in mine.items() if len(gram) == n
        )
        cosines.append(product / (norms[0] * norms[1]) if all(norms) else 0.0)
    lengths = [sum(count for gram, count in counts.items() if len(gram) == 2) for counts in (own, other)]
    penalty = math.exp(-((lengths[0] - lengths[1]) ** 2) / (2 * _SIGMA**2))
    return penalty * sum(cosines) / LONGEST


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    """Returns the length of the longest common subsequence."""
    row = [0] * (len(b) + 1)
    for word in a:
        before = row
        row = [0]
        for j, other in enumerate(b):
            row.append(before[j] + 1 if word == other else max(row[j], before[j + 1]))
    return row[-1]


def _words(text: str) -> list[str]:
    return text.lower().split()


def _require(outputs: Sequence[str], references: References) -> None:
    if len(outputs) != len(references) or not outputs or not all(references):
        raise ValueError(
            f"{len(outputs)} outputs and references of {len(references)} came: expected as many, at least "
            "one, each with a reference"
        )
