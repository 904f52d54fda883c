"""Copying strings, of lengths that training has and of longer ones."""

import numpy as np

from attnjax.data.synthetic.config import CopyingData
from attnjax.data.synthetic.questions import AS_TRAINED, LONGER, NOT_ASKED, TWICE, Arrays, Split, stretched

END, SEPARATOR, FIRST = 0, 1, 2
LONGEST = "longest trained"


class Copying:
    """A string x₁ … x_n of random letters, a separator, the string again, the end.

    Token 0 is the end, and the padding after it, 1 the separator, the others are letters. From the separator
    on the next token is asked: x₁, …, x_n, and at last the end. Lengths n are even in 1 … L as in training,
    else all the same. Short strings of a test were seen in training; there are too few of them.

    Repeat after me: Transformers are better than state space models at copying (Jelassi et al., 2024,
    arXiv:2402.01032).

    >>> data = Copying(CopyingData(length=4))
    >>> made = data.rows(1, np.random.default_rng(3), "longest trained")
    >>> print(*map(data.word, made["tokens"][0]))
    v c e g | v c e g
    >>> print(*map(data.word, made["answers"][0][4:]))
    v c e g ·
    """

    settings = (AS_TRAINED, LONGEST, LONGER, TWICE)

    def __init__(self, config: CopyingData) -> None:
        self.config = config

    @property
    def vocab(self) -> int:
        """The number of tokens."""
        return FIRST + self.config.letters

    def rows(
        self, count: int, rng: np.random.Generator, setting: str = AS_TRAINED, part: Split = Split.TRAIN
    ) -> Arrays:
        """Returns the "tokens" and "answers" [count, 2·longest + 1] of a setting."""
        longest = stretched(self.config.length, setting)
        low = 1 if setting == AS_TRAINED else longest
        lengths = rng.integers(low, longest, (count, 1), endpoint=True)
        strings = rng.integers(FIRST, self.vocab, (count, longest))
        places = np.arange(2 * longest + 1)
        # Where each place reads the string: the string itself, the separator, its copy, then nothing.
        again = places - lengths - 1
        inside = np.where(places < lengths, places, again)
        letters = np.take_along_axis(strings, np.clip(inside, 0, longest - 1), axis=1)
        tokens = np.where(places == lengths, SEPARATOR, np.where(again < lengths, letters, END))
        following = np.concatenate([tokens[:, 1:], np.full((count, 1), END)], axis=1)
        asked = (places >= lengths) & (places <= 2 * lengths)
        answers = np.where(asked, following, NOT_ASKED)
        return {"tokens": tokens.astype(np.int32), "answers": answers.astype(np.int32)}

    def word(self, token: int) -> str:
        """Returns a letter, "|" or "·"."""
        return "·|"[token] if token < FIRST else chr(ord("a") + token - FIRST)
