"""Settings of sequences whose label is decided by tokens that are known. Free of jax and numpy."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from attnjax.config import require, require_seed

Planted = Literal["sentiment", "causes"]


@dataclass(frozen=True)
class PlantedData:
    """Sentences or sequences with a label, and the tokens that decide it.

    >>> PlantedData(clauses=0)
    Traceback (most recent call last):
    attnjax.config.InputError: data.clauses is 0: it must be a whole number, 1 or more
    """

    source: Planted = "sentiment"
    """Sentences of a grammar with negation, or random letters with causes among them."""
    clauses: int = 3
    """Of sentiment: the most clauses of a sentence of training; one of them has the opinion."""
    length: int = 14
    """Of causes: the most letters of a sequence of training, causes among them."""
    causes: int = 2
    """Of causes: 1, a token that decides alone, or 2, which do so together."""
    evaluation_examples: int = 512
    """Sequences of each row of the final table."""
    seed: int = 0
    """Decides all sequences; those of training, validation and test have streams of their own."""

    def __post_init__(self) -> None:
        choices = get_args(Planted)
        require(self.source in choices, f"data.source is {self.source!r}: it must be {' or '.join(choices)}")
        require(self.causes in (1, 2), f"data.causes is {self.causes!r}: it must be 1 or 2")
        for name, least in (("clauses", 1), ("length", 4), ("evaluation_examples", 1)):
            _require_whole(name, getattr(self, name), least)
        require_seed("data.seed", self.seed)


def _require_whole(name: str, value: Any, least: int) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    require(whole and value >= least, f"data.{name} is {value!r}: it must be a whole number, {least} or more")
