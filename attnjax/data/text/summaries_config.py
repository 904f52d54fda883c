"""Settings of texts with summaries. Free of jax and numpy: the command line starts at once."""

from dataclasses import dataclass
from pathlib import Path

from attnjax.config import require, require_seed
from attnjax.data.text.config import Kind, TranslationData


@dataclass(frozen=True)
class SummaryData:
    """Texts with a summary each: the docstrings of Python's standard library, or texts of your own.

    A file is TSV (text<TAB>summary a line), CSV or Parquet with the two columns, or has a JSON object with
    them a line (.jsonl). Texts are read in small letters, punctuation apart.

    >>> SummaryData(validation=Path("mine.tsv"))
    Traceback (most recent call last):
    attnjax.config.InputError: data.validation needs data.train: modules hold out docstrings of their own
    """

    train: Path | None = None
    """Texts of training with their summaries; None: the docstrings of `modules`, and their first lines."""
    validation: Path | None = None
    """Texts that choose the best checkpoint; None: held out of `train`."""
    test: Path | None = None
    """Texts of the final table; None: held out of `train`."""
    modules: Path | None = None
    """A folder with Python modules; None: the running Python's standard library."""
    text_column: str = "text"
    """The name of the texts in CSV, Parquet and JSON lines."""
    summary_column: str = "summary"
    """The name of the summaries there."""
    group_column: str | None = None
    """The name of what is held out as a whole, such as a source or an author; None: texts are."""
    holdout: float = 0.1
    """Share of the texts, or of the groups, held out for each part that you do not give."""
    tokenizer: Kind = "bpe"
    """The unit of a token."""
    vocab_size: int = 2000
    """Pieces to learn, of texts and summaries together."""
    max_source_length: int = 64
    """Tokens of a text that are read; what comes behind them is left out."""
    max_target_length: int = 32
    """The longest summary that is accepted, in tokens, with its two end marks."""
    word_dropout: float = 0.0
    """Share of the texts' tokens that training replaces by the unknown token, others at every step."""
    buckets: int = 1
    """Shapes of batches, at most: texts of like lengths share one."""
    skip_malformed: bool = False
    """Leave out rows of yours that are malformed or too long; else they are named and nothing starts."""
    seed: int = 0
    """Decides the split of your own texts and the order of the batches."""

    def __post_init__(self) -> None:
        require(0 < self.holdout < 0.5, f"data.holdout is {self.holdout}: it must lie between 0 and 0.5")
        for name in ("validation", "test", "group_column"):
            require(
                getattr(self, name) is None or self.train is not None,
                f"data.{name} needs data.train: modules hold out docstrings of their own",
            )
        require(
            self.modules is None or self.train is None, "data.modules comes with data.train: expected one"
        )
        require_seed("data.seed", self.seed)
        self.pairs  # noqa: B018  What it refuses is refused here.

    @property
    def pairs(self) -> TranslationData:
        """The settings that a translator of such texts has."""
        return TranslationData(
            tokenizer=self.tokenizer,
            vocab_size=self.vocab_size,
            share_vocabulary=True,
            max_source_length=self.max_source_length,
            max_target_length=self.max_target_length,
            word_dropout=self.word_dropout,
            buckets=self.buckets,
            # Docstrings are nobody's to mend.
            skip_malformed=self.skip_malformed or self.train is None,
            seed=self.seed,
        )
