"""Dates of many formats and their ISO form as bytes, for a language model."""

import functools

import numpy as np

from attnjax.config import require
from attnjax.data.synthetic.config import DateBytesData
from attnjax.data.synthetic.library_bytes import byte_word
from attnjax.data.synthetic.questions import (
    AS_TRAINED,
    FOUR_TIMES,
    LONGER,
    NOT_ASKED,
    TWICE,
    Arrays,
    Split,
    stretched,
)
from attnjax.data.text.config import TranslationData
from attnjax.data.text.dates import date_splits

UNSEEN = "unseen formats"
BLANK = 0
ISO_BYTES = 10
_SPLITS = {Split.TRAIN: "train", Split.VALIDATION: "validation", Split.TEST: "dates"}


class DateBytes:
    """Lines of a date as a locale writes it, "|", and the date as ISO 8601 writes it, whose bytes are asked.

    A token is a byte of the UTF-8 form, 0 stands after the last line. Lines are drawn evenly, and a sequence
    takes the next one as long as it fits; the longer settings hold more lines. What is asked at the "|" and
    at nine bytes after it is the next byte.

    The lines are those of `attnjax.data.text.dates`: no part has dates of another one, and training has none
    of the formats of the setting "unseen formats".

    Raises:
      InputError: a line is longer than a sequence.

    >>> data = DateBytes(DateBytesData(locales=("es",), examples=100, length=64))
    >>> made = data.rows(1, np.random.default_rng(0))
    >>> print(bytes(made["tokens"][0].tolist()).rstrip(bytes(1)).decode(), end="")
    5 de marzo de 1952|1952-03-05
    <es> 5/3/28|2028-03-05
    """

    settings = (AS_TRAINED, UNSEEN, LONGER, TWICE, FOUR_TIMES)
    vocab = 256

    def __init__(self, config: DateBytesData) -> None:
        self.config = config
        longest = max(len(line) for lines in self._lines.values() for line in lines)
        require(
            config.length >= longest,
            f"data.length is {config.length}: the longest line of data.locales has {longest} bytes",
        )

    def rows(
        self, count: int, rng: np.random.Generator, setting: str = AS_TRAINED, part: Split = Split.TRAIN
    ) -> Arrays:
        """Returns the "tokens" and "answers" [count, T] of a setting.

        Raises:
          InputError: the locales are so few that no format of theirs is unseen.
        """
        lines = self._lines["pairs" if setting == UNSEEN else _SPLITS[part]]
        require(bool(lines), f"data.locales is {self.config.locales}: too few for formats to be held out")
        length = stretched(self.config.length, setting)
        tokens = np.full((count, length), BLANK, np.int32)
        answers = np.full((count, length), NOT_ASKED, np.int32)
        shortest = min(map(len, lines))
        drawn = rng.integers(0, len(lines), (count, length // shortest + 1)).tolist()
        for row, numbers in enumerate(drawn):
            at = 0
            for number in numbers:
                line = lines[number]
                if at + len(line) > length:
                    break
                tokens[row, at : at + len(line)] = list(line)
                at += len(line)
                # The line ends in "|", the answers, and a line's end; each is asked at the byte before it.
                answers[row, at - 2 - ISO_BYTES : at - 2] = list(line[-1 - ISO_BYTES : -1])
        return {"tokens": tokens, "answers": answers}

    def word(self, token: int) -> str:
        """Returns a byte as `LibraryBytes` does, and "·" for none."""
        return "·" if token == BLANK else byte_word(token)

    @functools.cached_property
    def _lines(self) -> dict[str, list[bytes]]:
        config = self.config
        splits = date_splits(
            TranslationData(
                locales=config.locales,
                examples=config.examples,
                evaluation_examples=config.evaluation_examples,
                seed=config.seed,
            )
        )
        return {name: [f"{x.source}|{x.target}\n".encode() for x in part] for name, part in splits.items()}
