"""Links between words, as Pharaoh writes them ("0-0 1-2"), of weights between pieces."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

Link = tuple[int, int]
"""The places of a source word and of a target word, from 0."""


def words_of(pieces: Sequence[str]) -> list[int]:
    """Returns the place of the word that each piece belongs to, -1 for a piece of spaces alone.

    Words are what whitespace separates, in the text that the pieces make together; "▁" is a space too.

    >>> words_of(["▁in", "▁Ber", "lin", ",", " ", "20", "03"])
    [0, 1, 1, 1, -1, 2, 2]
    """
    places, word, inside = [], -1, False
    for piece in pieces:
        own = word if inside and not piece else -1  # A part of a character has no text.
        for character in piece.replace("▁", " "):
            if character.isspace():
                inside = False
                continue
            word, inside = word + (not inside), True
            own = word if own < 0 else own
        places.append(own)
    return places


def word_links(weights: Float[np.ndarray, "T S"], source: Sequence[str], target: Sequence[str]) -> list[Link]:
    """Returns a link for each target word: to the source word that its pieces look at most.

    The weight of a source word is the sum over its pieces, that of a target word the mean over its own.

    Args:
      weights: of each target piece, a row, on the source pieces.
      source: the source pieces.
      target: the target pieces.

    Example:
      >>> weights = np.array([[0.1, 0.3, 0.6], [0.5, 0.2, 0.3], [0.1, 0.8, 0.1]])
      >>> word_links(weights, ["▁ein", "▁Ha", "us"], ["▁a", "▁ho", "use"])
      [(1, 0), (1, 1)]
    """
    summed = word_weights(weights, source, target)
    if not summed.size:
        return []
    return sorted((int(place), word) for word, place in enumerate(summed.argmax(axis=1)))


def word_weights(
    weights: Float[np.ndarray, "T S"], source: Sequence[str], target: Sequence[str]
) -> Float[np.ndarray, "V W"]:
    """Returns the weight of each target word, a row, on each source word, as `word_links` has it."""
    columns, rows = _members(words_of(source)), _members(words_of(target))
    if not len(columns) or not len(rows):
        return np.zeros((len(rows), len(columns)))
    summed: Float[np.ndarray, "V W"] = rows @ np.asarray(weights, np.float64) @ columns.T
    return summed / rows.sum(axis=1, keepdims=True)


def pharaoh(links: Sequence[Link]) -> str:
    """Returns links as text.

    >>> pharaoh([(0, 0), (2, 1)])
    '0-0 2-1'
    """
    return " ".join(f"{source}-{target}" for source, target in links)


def _members(places: Sequence[int]) -> Float[np.ndarray, "W P"]:
    """Returns 1 where a piece belongs to a word."""
    count = max(places, default=-1) + 1
    return (np.arange(count)[:, None] == np.array(places, int)[None]).astype(np.float64)
