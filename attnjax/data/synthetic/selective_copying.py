"""Selective copying: which tokens count depends on the tokens, not on their places."""

import numpy as np

from attnjax.data.synthetic.config import SelectiveCopyingData
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

BLANK, MARK, FIRST = 0, 1, 2


class SelectiveCopying:
    """Random letters at random places among blanks, then as many marks; each asks for the next letter.

    Token 0 is the blank, 1 the mark, the others are letters. Each of the sets of `count` places before the
    marks is as likely. Longer settings have more blanks, and no more letters.

    Mamba: linear-time sequence modeling with selective state spaces (Gu & Dao, 2023, arXiv:2312.00752,
    section 4.1.1).

    >>> data = SelectiveCopying(SelectiveCopyingData(letters=5, count=3, length=8))
    >>> made = data.rows(1, np.random.default_rng(0))
    >>> print(*map(data.word, made["tokens"][0]))
    e d · · · · c · ? ? ?
    >>> print(*map(data.word, made["answers"][0][-3:]))
    e d c
    """

    settings = (AS_TRAINED, LONGER, TWICE, FOUR_TIMES)

    def __init__(self, config: SelectiveCopyingData) -> None:
        self.config = config

    @property
    def vocab(self) -> int:
        """The number of tokens."""
        return FIRST + self.config.letters

    def rows(
        self, count: int, rng: np.random.Generator, setting: str = AS_TRAINED, part: Split = Split.TRAIN
    ) -> Arrays:
        """Returns the "tokens" and "answers" [count, T] of a setting."""
        told, letters = stretched(self.config.length, setting), self.config.count
        drawn = rng.integers(FIRST, self.vocab, (count, letters))
        places = np.sort(np.argsort(rng.random((count, told)), axis=1)[:, :letters], axis=1)
        tokens = np.full((count, told + letters), MARK, np.int32)
        tokens[:, :told] = BLANK
        np.put_along_axis(tokens, places, drawn, axis=1)
        answers = np.full((count, told + letters), NOT_ASKED, np.int32)
        answers[:, told:] = drawn
        return {"tokens": tokens, "answers": answers}

    def word(self, token: int) -> str:
        """Returns a letter, "?" or "·"."""
        return "·?"[token] if token < FIRST else chr(ord("a") + token - FIRST)
