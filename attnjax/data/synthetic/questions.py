"""Synthetic sources of token sequences: the places of questions, and the parts that are held out."""

import enum
from typing import Any, Protocol

import numpy as np

Arrays = dict[str, np.ndarray]
NOT_ASKED = -1
"""Stands in "answers" wherever nothing is asked."""
AS_TRAINED = "as trained"
"""The setting that training has; each source has further ones, which only the final table asks for."""
LONGER, TWICE, FOUR_TIMES = "1.5 times as long", "twice as long", "4 times as long"
"""Settings with longer sequences than training has."""


class Split(enum.IntEnum):
    """The use of sequences. The numbers are part of a run's identity: never renumber them."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2


class Sequences(Protocol):
    """Makes sequences whose reader is asked questions."""

    @property
    def config(self) -> Any:
        """With a seed and a number of evaluation_examples."""

    @property
    def settings(self) -> tuple[str, ...]:
        """The rows of the final table; `AS_TRAINED` is the first."""

    @property
    def vocab(self) -> int:
        """The number of tokens."""

    def rows(
        self, count: int, rng: np.random.Generator, setting: str = AS_TRAINED, part: Split = Split.TRAIN
    ) -> Arrays:
        """Returns "tokens" and "answers" [count, T], int32: the right answer at a token, or `NOT_ASKED`.

        Where sequences come from a store of finite size, each `part` of it has its own; those that are drawn
        afresh differ by their randomness.
        """

    def word(self, token: int) -> str:
        """Returns a token as people read it."""


def stream(seed: int, part: Split, step: int = 0) -> np.random.Generator:
    """Returns randomness that depends on nothing else: any step stands by itself, no part meets another's.

    >>> stream(0, Split.TRAIN, 5).integers(100) == stream(0, Split.TRAIN, 5).integers(100)
    np.True_
    """
    return np.random.default_rng([seed, part, step])


def stretched(length: int, setting: str) -> int:
    """Returns the length that sequences have in a setting, if `length` is that of training.

    >>> [stretched(5, setting) for setting in (AS_TRAINED, LONGER, TWICE, FOUR_TIMES)]
    [5, 8, 10, 20]
    """
    return {LONGER: -(-3 * length // 2), TWICE: 2 * length, FOUR_TIMES: 4 * length}.get(setting, length)
