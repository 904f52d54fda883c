"""Settings of documents for a language model. Free of jax and numpy: the command line starts at once."""

from dataclasses import dataclass
from pathlib import Path

from attnjax.config import require, require_seed

LONGEST = 4
"""Times the length of training: the longest rows of the final table."""


@dataclass(frozen=True)
class DocumentsData:
    """Documents, each a file: the source of Python's standard library, or files and folders of your own.

    >>> DocumentsData(length=1)
    Traceback (most recent call last):
    attnjax.config.InputError: data.length is 1: it must be 2 or more
    """

    train: tuple[Path, ...] = ()
    """Files and folders to train on; (): the modules of the running Python's standard library."""
    validation: tuple[Path, ...] = ()
    """Files and folders that choose the best checkpoint; (): files held out of `train`."""
    test: tuple[Path, ...] = ()
    """Files and folders of the final table; (): files held out of `train`."""
    suffixes: tuple[str, ...] = ()
    """Ends of the names of files that count in folders, such as .txt; (): all."""
    holdout: float = 0.1
    """Share of the files held out for each part that you do not give."""
    tokenizer: Path | None = None
    """A tokenizer.json, or the folder of one; None: a token is a byte."""
    length: int = 128
    """Tokens of a row of training, in which documents stand one after the other."""
    evaluation_tokens: int = 32_768
    """Tokens of the test part that the final table scores, taken evenly from all of it."""
    ngram: int = 6
    """Tokens of the longest n-gram of the baseline; fewer where so many do not fit a 64-bit number."""
    ngram_tokens: int = 4_000_000
    """Tokens of training that the baseline counts."""
    seed: int = 0
    """Decides the split and the order of the batches."""

    def __post_init__(self) -> None:
        require(0 < self.holdout < 0.5, f"data.holdout is {self.holdout}: it must lie between 0 and 0.5")
        for name, least in (("length", 2), ("evaluation_tokens", 1), ("ngram", 1), ("ngram_tokens", 1)):
            value = getattr(self, name)
            require(value >= least, f"data.{name} is {value}: it must be {least} or more")
        for name in ("validation", "test"):
            require(
                not getattr(self, name) or bool(self.train),
                f"data.{name} needs data.train: the standard library has held-out modules of its own",
            )
        require_seed("data.seed", self.seed)
