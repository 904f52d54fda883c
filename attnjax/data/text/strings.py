"""Strings of random letters, to be turned round: where attention has to look is known."""

import string

import numpy as np

from attnjax.data.text.example import Example
from attnjax.data.text.strings_config import StringsData


def string_parts(data: StringsData) -> dict[str, list[Example]]:
    """Returns the parts "train", "validation" and, for each even length, "length 4" and so on.

    A string of a held-out part may by chance be one of training where it is short: there are so few.

    Example:
      >>> part = string_parts(StringsData(longest=4, beyond=4, evaluation_examples=1))["length 4"]
      >>> part[0].target == part[0].source[::-1]
      True
    """
    rng = np.random.default_rng(data.seed)

    def drawn(count: int, shortest: int, longest: int, group: str) -> list[Example]:
        lengths = rng.integers(shortest, longest + 1, count)
        letters = rng.integers(data.letters, size=(count, longest))
        texts = (
            "".join(string.ascii_lowercase[i] for i in row[:n])
            for row, n in zip(letters, lengths, strict=True)
        )
        return [Example(text, text[::-1], group) for text in texts]

    parts = {
        part: drawn(count, data.shortest, data.longest, part)
        for part, count in (("train", data.examples), ("validation", data.evaluation_examples))
    }
    for length in range(data.shortest + data.shortest % 2, data.beyond + 1, 2):
        parts[f"length {length}"] = drawn(data.evaluation_examples, length, length, f"length {length}")
    return parts
