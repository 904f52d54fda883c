"""The tokens of a tokenizer that end a sentence, by their text."""

from collections.abc import Sequence

ENDS = frozenset(".!?…。！？؟।")
"""Characters at which a sentence ends."""
CLOSING = frozenset("\")]}'”’»")
"""Characters that still belong to the sentence before them."""


def sentence_ends(names: Sequence[str]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns the ids of tokens that end a sentence, and of those that do not but begin none either.

    A token ends one if it has nothing but characters of `ENDS` and `CLOSING`, and one of the first; with
    those of `CLOSING` alone, or with nothing, it begins none. So a full stop in a number or after an
    abbreviation ends a sentence, too, where it is a token by itself.

    Args:
      names: the text of each id.

    Example:
      >>> sentence_ends(["good", " .", "...", '?"', ")", " ", "3."])
      ((1, 2, 3), (4, 5))
    """
    texts = [set(name.strip()) for name in names]
    plain = [number for number, text in enumerate(texts) if text <= ENDS | CLOSING]
    ends = tuple(number for number in plain if texts[number] & ENDS)
    return ends, tuple(number for number in plain if not texts[number] & ENDS)
