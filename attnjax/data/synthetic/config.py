"""Settings of sequences that are made up, to recall and to copy. Free of jax and numpy."""

from dataclasses import dataclass
from typing import Any

from attnjax.config import require, require_seed


@dataclass(frozen=True)
class RecallData:
    """Multi-query associative recall: keys with their values, then the keys again, whose values are asked.

    The sequences are those of Zoology (Arora et al., 2023) without random fillers; see `data.recall`.
    """

    vocab: int = 64
    """Tokens: a blank, keys (the rest of the first half) and values (the second half)."""
    pairs: int = 8
    """The most keys, each with a value, that a sequence of training begins with; all are asked for later."""
    length: int = 32
    """Tokens of a sequence."""
    power: float = 0.01
    """The gap g before a question has probability ∝ (g+1)^(power-1): small powers ask soon, 1 at any time."""
    evaluation_examples: int = 512
    """Sequences of each row of the final table."""
    seed: int = 0
    """Decides all sequences; those of training, validation and test have streams of their own."""

    def __post_init__(self) -> None:
        _require_whole("pairs", self.pairs, 2)
        _require_whole("evaluation_examples", self.evaluation_examples, 1)
        _require_whole("vocab", self.vocab, 4 * self.pairs + 2, "keys for twice data.pairs, which are tested")
        _require_whole("length", self.length, 4 * self.pairs, "two tokens for each pair and each question")
        require(self.length % 2 == 0, f"data.length is {self.length}: it must be even")
        number = isinstance(self.power, int | float) and not isinstance(self.power, bool)
        require(
            number and 0 < self.power <= 1, f"data.power is {self.power!r}: it must be a number in (0, 1]"
        )
        require_seed("data.seed", self.seed)


@dataclass(frozen=True)
class CopyingData:
    """Copying: a random string, a mark, and the string again (Jelassi et al., 2024); see `data.copying`."""

    letters: int = 26
    """Size of the alphabet."""
    length: int = 16
    """The longest string of training; all lengths up to it are equally likely."""
    evaluation_examples: int = 512
    """Sequences of each row of the final table."""
    seed: int = 0
    """Decides all strings; those of training, validation and test have streams of their own."""

    def __post_init__(self) -> None:
        for name, least in (("letters", 2), ("length", 2), ("evaluation_examples", 1)):
            _require_whole(name, getattr(self, name), least)
        require(self.letters <= 26, f"data.letters is {self.letters}: there are 26, from a to z")
        require_seed("data.seed", self.seed)


def _require_whole(name: str, value: Any, least: int, reason: str = "") -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    because = f" ({reason})" if reason else ""
    require(
        whole and value >= least,
        f"data.{name} is {value!r}: it must be a whole number, {least} or more{because}",
    )
