"""Scores of summaries, and what any model has to pass: the first sentence, the nearest one, the commonest."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from attnjax.data.text.example import Example
from attnjax.data.text.words import sentences
from attnjax.tasks.metrics.summaries import ROUGES, in_text, repeated, rouge, rouge_rows, share


def summary_scores(outputs: Sequence[str], examples: Sequence[Example]) -> dict[str, float]:
    """Returns ROUGE of summaries, their words that the text has, pairs that are said twice, and length."""
    return {
        **rouge(outputs, [example.target for example in examples]),
        "in text %": share([in_text(output, e.source) for output, e in zip(outputs, examples, strict=True)]),
        "said twice %": share([repeated(output) for output in outputs]),
        "words": float(np.mean([len(output.split()) for output in outputs])),
        "texts": float(len(outputs)),
    }


def lead(example: Example) -> str:
    """Returns the first sentence of a text (LEAD-1)."""
    return sentences(example.source)[0]


def nearest_sentences(examples: Sequence[Example]) -> list[str]:
    """Returns of each text the sentence with the greatest sum of all ROUGE: no extract of one has more."""
    found = []
    for example in examples:
        own = sentences(example.source)
        rows = rouge_rows(own, [example.target] * len(own))
        found.append(own[int(np.argmax([sum(row[name] for name in ROUGES) for row in rows]))])
    return found


def words_in_text(example: Example) -> str:
    """Returns the words of the summary that the text has, what copying just these would write.

    >>> words_in_text(Example(" a list of names", " the list of all names"))
    'list of names'
    """
    known = set(example.source.split())
    return " ".join(word for word in example.target.split() if word in known)


def commonest(examples: Sequence[Example]) -> str:
    """Returns the commonest summary, the first one of those that are as common."""
    return Counter(example.target for example in examples).most_common(1)[0][0]
