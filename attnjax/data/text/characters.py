"""Texts to ids where each character is a token, and each tag: by a table, for all texts at once."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from attnjax.data.text.rows import Rows

# Code points that no text has, since UTF-8 cannot write them.
_FIRST_TAG, _BETWEEN_TEXTS = 0xD800, 0xDFFF
_CODE_POINTS = 0x110000


class CharacterTable:
    """The ids of characters, and of tags, each of which is one token wherever it stands.

    >>> CharacterTable({"a": 4, "b": 5}, {"<es>": 6}, unknown=3).rows(["ab", "", "<es>ca"]).lists()
    [[4, 5], [], [6, 3, 4]]
    """

    def __init__(self, characters: Mapping[str, int], tags: Mapping[str, int], *, unknown: int) -> None:
        self._ids = np.full(_CODE_POINTS, unknown, np.int32)
        for character, number in characters.items():
            self._ids[ord(character)] = number
        self._stands_for = {tag: chr(_FIRST_TAG + i) for i, tag in enumerate(tags)}
        for tag, stand_in in self._stands_for.items():
            self._ids[ord(stand_in)] = tags[tag]
        longest_first = sorted(tags, key=len, reverse=True)
        self._tags = re.compile("|".join(map(re.escape, longest_first))) if tags else None

    def rows(self, texts: Sequence[str]) -> Rows:
        """Returns the ids of each text."""
        joined = chr(_BETWEEN_TEXTS).join(texts)
        if self._tags is not None:
            joined = self._tags.sub(lambda tag: self._stands_for[tag[0]], joined)
        codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
        between = codes == _BETWEEN_TEXTS
        edges = np.concatenate([[-1], np.flatnonzero(between), [len(codes)]])
        lengths = (np.diff(edges) - 1).astype(np.int32)[: len(texts)]
        return Rows(self._ids[codes[~between]], lengths)
