"""The rows of the table of scripts/field_table.py: experiment, small preset, and the numbers compared."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Field:
    """A row of the table.

    Attributes:
      task: what is told, and of what.
      experiment: its name.
      metric: ROW/COLUMN of the final table that is ours.
      mode: which end of it is better.
      baselines: rows of the same column without attention, the best of which is printed; * stands for any
        letters.
      best: the row of the best possible score, or that score; None: nobody knows it.
      corpora: those of `attnjax data` that the experiment reads.
      quick: what the small preset changes.
      script: what scores it in the place of an experiment, without training; --out names its final table.
    """

    task: str
    experiment: str
    metric: str
    mode: Literal["max", "min"]
    baselines: tuple[str, ...]
    best: str | float | None = None
    corpora: tuple[str, ...] = ()
    quick: Mapping[str, Any] = field(default_factory=dict)
    script: str | None = None

    def changes(self, quick: bool) -> Mapping[str, Any]:
        """Returns what the config of a run has other than the experiment's."""
        return self.quick if quick else {}

    def command(self, quick: bool, *more: str) -> list[str]:
        """Returns the command of a run, as one types it."""
        words = [word for name, value in self.changes(quick).items() for word in (f"--{name}", str(value))]
        begin = ["attnjax", "run", self.experiment] if self.script is None else ["python", self.script]
        return [*begin, *words, *more]


def short(steps: int, **more: Any) -> dict[str, Any]:
    """Returns the changes of a training of so many steps, which is checked at its end."""
    return {"train.steps": steps, "train.checkpoint_every": steps, **more}


WORDS = ("TF-IDF, logistic regression", "commonest label")
COLUMNS_ALONE = ("logistic regression", "gradient boosting*")
EVENTS_ALONE = (*COLUMNS_ALONE, "GRU without attention")
GRID = ("grid of convolutions: held-out images", "the mean box of each label: held-out images")
KEEP_GOING = ("constant velocity: moving", "constant acceleration: moving")
FIELDS = (
    Field(
        "film reviews: liked or not",
        "sentiment",
        "test/right %",
        "max",
        WORDS,
        corpora=("film",),
        quick=short(300, explained=0),
    ),
    Field(
        "a grammar with negation",
        "negation",
        "as trained/right %",
        "max",
        WORDS,
        best="the best possible",
        quick={"explained": 8},
    ),
    Field(
        "first lines of docstrings",
        "summarisation",
        "test/ROUGE-1",
        "max",
        ("LEAD-1", "the nearest sentence", "the commonest"),
        quick=short(150),
    ),
    Field(
        "next byte of Python's standard library",
        "language_model",
        "test/bits per byte",
        "min",
        ("Kneser–Ney*", "tokens by themselves"),
        quick=short(400, explained=0) | {"data.evaluation_tokens": 16384, "data.ngram_tokens": 500_000},
    ),
    Field(
        "death in hospital",
        "support2",
        "test/AUROC",
        "max",
        COLUMNS_ALONE,
        corpora=("support2",),
        quick=short(200, explained=0),
    ),
    Field(
        "heart disease in ten years",
        "framingham",
        "test/AUROC",
        "max",
        COLUMNS_ALONE,
        corpora=("framingham",),
        quick=short(200, explained=0),
    ),
    Field(
        "a planted deterioration of patients",
        "patients",
        "test/AUROC",
        "max",
        EVENTS_ALONE,
        best="best possible (the rules are known)",
        quick=short(800, explained=0, recurrent_steps=0),
    ),
    Field(
        "death in five years, from dated measurements",
        "nafld",
        "test/AUROC",
        "max",
        EVENTS_ALONE,
        corpora=("nafld",),
        quick=short(200, explained=0, recurrent_steps=0),
    ),
    Field(
        "solubility of molecules",
        "solubility",
        "test/RMSE",
        "min",
        ("ridge regression*", "gradient boosting*", "the mean of training"),
        corpora=("solubility",),
        quick=short(300, explained=0),
    ),
    Field(
        "where moving cars will be, in metres",
        "driving",
        "model: moving/minADE m",
        "min",
        KEEP_GOING,
        quick=short(300),
    ),
    Field(
        "shapes in drawn images",
        "detection",
        "model: held-out images/AP",
        "max",
        GRID,
        best=100.0,
        quick=short(1000, baseline_steps=400),
    ),
    Field(
        "rendered lesions, a toy",
        "lesions",
        "model: held-out images/AP",
        "max",
        GRID,
        best=100.0,
        quick=short(1000, baseline_steps=400),
    ),
    Field(
        "handwritten digits",
        "recognition",
        "model/right %",
        "max",
        ("SVC of *", "the commonest label"),
        quick=short(300),
    ),
    Field(
        "telephone prompts, written down by Whisper tiny.en",
        "speech",
        "Whisper/WER %",
        "min",
        ("the commonest transcript", "no words at all"),
        quick={"clips": 16},
        script="scripts/speech.py",
    ),
)
