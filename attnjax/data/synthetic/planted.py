"""Sequences whose label is decided by tokens that are known: a sentiment grammar, and planted causes."""

from typing import Protocol

import numpy as np

from attnjax.data.synthetic.planted_config import PlantedData
from attnjax.data.synthetic.questions import AS_TRAINED, TWICE, Arrays

PADDING, START, MASK = 0, 1, 2
"""The ids of padding, of the token that stands for the whole, and of one that stands for a removed one."""
_WORDS = ("·", "[CLS]", "[MASK]")
_NOUNS = ("film", "plot", "cast", "score", "ending", "pace")
_NEUTRAL = ("long", "loud", "slow", "short", "old", "dark")
_GOOD = ("good", "great", "moving", "funny")
_BAD = ("bad", "dull", "weak", "poor")
_NEGATIONS = ("not", "never")
_OTHERS = ("the", "was", "and", "very")


class PlantedSequences(Protocol):
    """Makes sequences with a label, and marks the tokens that decide it."""

    @property
    def config(self) -> PlantedData:
        """The settings."""

    @property
    def settings(self) -> tuple[str, ...]:
        """The rows of the final table; `AS_TRAINED` is the first."""

    @property
    def vocab(self) -> int:
        """The number of tokens."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the labels."""

    @property
    def longest(self) -> int:
        """The most tokens of a sequence, in any setting."""

    def rows(self, count: int, rng: np.random.Generator, setting: str = AS_TRAINED) -> Arrays:
        """Returns "tokens" [count, T] and "lengths" [count], the "labels" and the "rationale" [count, T].

        Each sequence begins with `START`, and is filled up with `PADDING`.
        """

    def word(self, token: int) -> str:
        """Returns a token as people read it."""


class Sentiment:
    """The film was not loud and the plot was never very dull: one clause of several has an opinion.

    A clause is "the", a noun, "was", perhaps "not" or "never", perhaps "very", an adjective. In one clause
    the adjective is good or bad, in the others it is neutral; each is negated as often. The label is that of
    the adjective, turned round if that clause is negated. The rationale is this adjective and its negation:
    negations elsewhere, "very" and all else do not count. The setting with twice as many clauses has up to
    2·C of them.

    >>> data = Sentiment(PlantedData(clauses=2))
    >>> made = data.rows(1, np.random.default_rng(2))
    >>> print(*map(data.word, made["tokens"][0]))
    [CLS] the plot was never bad and the film was slow · · ·
    >>> print(data.labels[made["labels"][0]], *np.flatnonzero(made["rationale"][0]))
    good 4 5
    """

    settings = (AS_TRAINED, TWICE)
    labels = ("bad", "good")

    def __init__(self, config: PlantedData) -> None:
        self.config = config
        self._words = (*_WORDS, *_OTHERS, *_NEGATIONS, *_NOUNS, *_NEUTRAL, *_GOOD, *_BAD)
        self._number = {word: i for i, word in enumerate(self._words)}

    @property
    def vocab(self) -> int:
        """The number of words."""
        return len(self._words)

    @property
    def longest(self) -> int:
        """The most tokens, of twice as many clauses as in training."""
        return self._width(TWICE)

    def rows(self, count: int, rng: np.random.Generator, setting: str = AS_TRAINED) -> Arrays:
        """Returns "tokens", "lengths", "labels" and "rationale"."""
        most = self._most(setting)
        made = _empty(count, self._width(setting))
        clauses = rng.integers(1, most, count, endpoint=True)
        places = rng.integers(0, clauses)
        chances = rng.random((count, most, 6))
        for row in range(count):
            told = [clause == places[row] for clause in range(clauses[row])]
            self._write(made, row, told, chances[row].tolist())
        return made

    def word(self, token: int) -> str:
        """Returns the word."""
        return self._words[token]

    def _most(self, setting: str) -> int:
        return self.config.clauses * (2 if setting == TWICE else 1)

    def _width(self, setting: str) -> int:
        # Six words a clause, "and" between them, and the start.
        return 7 * self._most(setting)

    def _write(self, made: Arrays, row: int, told: list[bool], chances: list[list[float]]) -> None:
        words, marks = [_WORDS[START]], [False]
        for own, opinion in zip(chances, told, strict=False):
            if len(words) > 1:
                words, marks = [*words, "and"], [*marks, False]
            clause, negated, good = _clause(own, opinion)
            words += clause
            marks += [opinion and (word in _NEGATIONS or word == clause[-1]) for word in clause]
            if opinion:
                made["labels"][row] = good != negated
        made["tokens"][row, : len(words)] = [self._number[word] for word in words]
        made["rationale"][row, : len(marks)] = marks
        made["lengths"][row] = len(words)


def _clause(chances: list[float], opinion: bool) -> tuple[list[str], bool, bool]:
    """Returns a clause, whether it is negated, and whether its adjective is a good one."""
    noun, negation, negated, very, good, adjective = chances
    words = ["the", _one_of(_NOUNS, noun), "was"]
    words += [_one_of(_NEGATIONS, negation)] if negated < 0.5 else []
    words += ["very"] if very < 0.5 else []
    kind = _NEUTRAL if not opinion else _GOOD if good < 0.5 else _BAD
    return [*words, _one_of(kind, adjective)], negated < 0.5, good < 0.5


def _one_of(words: tuple[str, ...], chance: float) -> str:
    return words[int(chance * len(words))]


class Causes:
    """Random letters with one or two digits among them, which decide the label.

    Of the digits 0 to 7 the lower four are of class 0. One digit says the label; of two it is whether they
    are of different classes. They stand anywhere among the letters a to p, which are drawn evenly and mean
    nothing. The rationale is the digits. Longer sequences have up to twice as many letters.

    >>> data = Causes(PlantedData("causes", length=8))
    >>> made = data.rows(1, np.random.default_rng(0))
    >>> print(*map(data.word, made["tokens"][0]), data.labels[made["labels"][0]])
    [CLS] k i e 4 a b 6 c same
    """

    settings = (AS_TRAINED, TWICE)
    labels = ("same", "different")
    _DIGITS, _LETTERS = 8, 16

    def __init__(self, config: PlantedData) -> None:
        self.config = config
        if config.causes == 1:
            self.labels = ("low", "high")

    @property
    def vocab(self) -> int:
        """The number of tokens."""
        return len(_WORDS) + self._DIGITS + self._LETTERS

    @property
    def longest(self) -> int:
        """The most tokens, of sequences twice as long as in training."""
        return 1 + 2 * self.config.length

    def rows(self, count: int, rng: np.random.Generator, setting: str = AS_TRAINED) -> Arrays:
        """Returns "tokens", "lengths", "labels" and "rationale"."""
        most = self.config.length * (2 if setting == TWICE else 1)
        made = _empty(count, 1 + most)
        sizes = rng.integers(most // 2, most, count, endpoint=True)
        digit = len(_WORDS)
        tokens = rng.integers(digit + self._DIGITS, self.vocab, (count, most))
        places = np.argsort(np.where(np.arange(most) < sizes[:, None], rng.random((count, most)), 2), axis=1)[
            :, : self.config.causes
        ]
        causes = rng.integers(0, self._DIGITS, (count, self.config.causes))
        np.put_along_axis(tokens, places, digit + causes, axis=1)
        there = np.arange(most) < sizes[:, None]
        made["tokens"][:, 0] = START
        made["tokens"][:, 1:] = np.where(there, tokens, PADDING)
        np.put_along_axis(made["rationale"][:, 1:], places, True, axis=1)
        made["lengths"][:] = 1 + sizes
        made["labels"][:] = (causes >= self._DIGITS // 2).sum(1) % 2
        return made

    def word(self, token: int) -> str:
        """Returns a digit or a letter."""
        if token < len(_WORDS):
            return _WORDS[token]
        token -= len(_WORDS)
        return str(token) if token < self._DIGITS else chr(ord("a") + token - self._DIGITS)


def make_planted(config: PlantedData) -> PlantedSequences:
    """Returns the source that the settings name.

    >>> make_planted(PlantedData("causes", causes=1)).labels
    ('low', 'high')
    """
    return Sentiment(config) if config.source == "sentiment" else Causes(config)


def _empty(count: int, width: int) -> Arrays:
    return {
        "tokens": np.full((count, width), PADDING, np.int32),
        "lengths": np.zeros(count, np.int32),
        "labels": np.zeros(count, np.int32),
        "rationale": np.zeros((count, width), bool),
    }
