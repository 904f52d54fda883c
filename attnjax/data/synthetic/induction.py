"""Induction: what followed a token the last time follows it again."""

import numpy as np

from attnjax.data.synthetic.config import InductionData
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

TRIGGER, FIRST = 0, 1


class Induction:
    """Random letters with a trigger among them, and the trigger again at the end: which letter followed it?

    Token 0 is the trigger, the others are letters. Of T tokens the first T-1 are letters, drawn evenly, but
    for one place of the first T-2, each as likely, where the trigger stands; the last token is the trigger.
    Only there something is asked. Longer settings have more letters.

    These are the sequences of Mamba (Gu & Dao, 2023, arXiv:2312.00752, section 4.1.2) for what In-context
    Learning and Induction Heads (Olsson et al., 2022, arXiv:2209.11895) describe: [A][B] … [A] → [B].

    >>> data = Induction(InductionData(letters=4, length=8))
    >>> made = data.rows(1, np.random.default_rng(0))
    >>> print(*map(data.word, made["tokens"][0]))
    d > c b b a a >
    >>> data.word(made["answers"][0][-1])
    'c'
    """

    settings = (AS_TRAINED, LONGER, TWICE, FOUR_TIMES)

    def __init__(self, config: InductionData) -> None:
        self.config = config

    @property
    def vocab(self) -> int:
        """The number of tokens."""
        return FIRST + self.config.letters

    def rows(
        self, count: int, rng: np.random.Generator, setting: str = AS_TRAINED, part: Split = Split.TRAIN
    ) -> Arrays:
        """Returns the "tokens" and "answers" [count, T] of a setting."""
        length = stretched(self.config.length, setting)
        tokens = rng.integers(FIRST, self.vocab, (count, length), dtype=np.int32)
        places = rng.integers(0, length - 2, (count, 1))
        np.put_along_axis(tokens, places, TRIGGER, axis=1)
        tokens[:, -1] = TRIGGER
        answers = np.full((count, length), NOT_ASKED, np.int32)
        answers[:, -1:] = np.take_along_axis(tokens, places + 1, axis=1)
        return {"tokens": tokens, "answers": answers}

    def word(self, token: int) -> str:
        """Returns a letter or ">"."""
        return ">" if token == TRIGGER else chr(ord("a") + token - FIRST)
