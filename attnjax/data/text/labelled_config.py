"""Settings of texts with labels. Free of jax and numpy: the command line starts at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from attnjax.config import require, require_seed

Labels = Literal["classes", "numbers"]


@dataclass(frozen=True)
class LabelledData:
    """Texts with a label each.

    A file has text<TAB>label a line (TSV), is a CSV or Parquet file with the two columns, or has a JSON
    object with them a line (.jsonl); a folder has one for each label, with a .txt file for each text.
    """

    train: Path | None = None
    """The texts of training."""
    validation: Path | None = None
    """Texts that choose the best checkpoint; None: held out of `train`."""
    test: Path | None = None
    """Texts of the final table; None: held out of `train`."""
    holdout: float = 0.1
    """Share of the training texts held out for each part that you do not give."""
    labels: Labels = "classes"
    """The kind of labels: names of classes, or numbers such as ratings."""
    text_column: str = "text"
    """The name of the texts in CSV, Parquet and JSON lines."""
    label_column: str = "label"
    """The name of the labels there."""
    tokenizer: Path | None = None
    """A tokenizer.json, or the folder of one; None: that of train.init_from, or one to be learned."""
    vocab_size: int = 8000
    """Pieces of words to learn of the texts of training, where no tokenizer is given."""
    max_length: int = 64
    """Tokens of a text, with the marks around it; what is longer is cut off."""
    masked: float = 0.0
    """Share of the tokens of training that give their place to [MASK], others at every step."""
    seed: int = 0
    """Decides the split, the masks and the order of the batches."""

    def __post_init__(self) -> None:
        require(0 < self.holdout < 0.5, f"data.holdout is {self.holdout}: it must lie between 0 and 0.5")
        require(
            self.labels in get_args(Labels),
            f"data.labels is {self.labels!r}: it must be one of {', '.join(get_args(Labels))}",
        )
        require(self.max_length >= 3, f"data.max_length is {self.max_length}: it must be at least 3")
        require(0 <= self.masked < 1, f"data.masked is {self.masked}: it must lie in [0, 1)")
        require(self.vocab_size >= 16, f"data.vocab_size is {self.vocab_size}: it must be at least 16")
        require_seed("data.seed", self.seed)
