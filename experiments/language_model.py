"""What does a small language model of source code learn that n-grams do not, and how far does it carry?

    attnjax run language_model
    attnjax run language_model --data.train my_texts notes.txt --data.suffixes .txt .md
    attnjax run language_model --model.positions alibi --train.steps 2000
    attnjax generate RUN "def " --temperature 0.8
    attnjax predict RUN "import " --details
    attnjax explain RUN "for i in range("
    attnjax sweep language_sizes
    attnjax sweep language_lengths

The documents are the modules of the running Python's standard library, of which a tenth is held out for
validation and a tenth for the test, or files of your own. A token is a byte, or what a tokenizer makes.
Documents stand one after the other in rows, and no token sees another document. They stay on the disk: a
batch reads its own rows.

The final table has bits per byte of the test documents at the trained length, at twice and at four times of
it, and of two baselines without attention: interpolated Kneser–Ney n-grams, counted over the first
`data.ngram_tokens` tokens of training documents, and bytes by themselves. Below them are rows of
attributions: what the probability of the likeliest next byte loses as earlier bytes are deleted in order.

Expect the n-grams to win against a short training, since all they need is to count.
`docs/guides/language_model.md` has measured numbers.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.config import require
from attnjax.data.text.documents_config import DocumentsData
from attnjax.experiment.registry import experiment
from attnjax.models.config import LanguageModelConfig
from attnjax.sweeps.registry import sweep
from attnjax.tasks.config import CrossEntropyConfig
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.tasks.language.task import LanguageTask

MODEL = LanguageModelConfig(dim=64, heads=4, layers=2, hidden=256, tie_embeddings=True)
TRAIN = TrainConfig(
    steps=800,
    batch_size=16,
    log_every=50,
    checkpoint_every=200,
    warmup_steps=80,
    learning_rate=3e-3,
    weight_decay=0.05,
    dropout=0.0,
)
SEEDS = range(3)
CONTEXT = 24
"""Tokens before the one whose prediction is explained."""
METHODS = ("raw", "rollout", "gradient_x_input", "occlusion")


@experiment
@dataclass(frozen=True)
class LanguageModelling:
    """Predict each next byte of Python's standard library, or of documents of your own."""

    model: LanguageModelConfig = MODEL
    data: DocumentsData = DocumentsData()
    train: TrainConfig = TRAIN
    loss: CrossEntropyConfig = CrossEntropyConfig()
    explained: int = 16
    """Rows of the test whose next token is explained, for the rows of attributions; 0: there are none."""
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def __post_init__(self) -> None:
        require(self.explained >= 0, f"explained is {self.explained}: it must be 0 or more")

    def task(self, folder: Path | None = None) -> "LanguageTask":
        from attnjax.tasks.language.task import LanguageTask

        return LanguageTask(
            self.data,
            self.model,
            loss=self.loss,
            batch_size=self.train.batch_size,
            folder=folder,
            account=partial(attributed, count=self.explained) if self.explained else None,
        )


def attributed(model: Any, test: Any, *, count: int) -> dict[str, dict[str, float]]:
    """Returns how faithful attributions of the likeliest next token are, to the tokens before it.

    Tokens are deleted, never the last one, which the model reads its prediction from.
    """
    import jax.numpy as jnp
    import numpy as np

    from attnjax.config import InputError
    from attnjax.explain import Target, ask, attribute
    from attnjax.explain.faithfulness import faithfulness

    tokens = jnp.asarray(test["tokens"][:count, :CONTEXT])
    question = ask(model, tokens)
    maps = {}
    for name in METHODS:
        try:
            maps[name] = attribute(name, question)
        except InputError:  # It is not defined for such a mechanism, and has no row.
            continue
    if not maps:
        return {}
    protected = np.zeros(tokens.shape, bool)
    protected[:, -1] = True
    found = faithfulness(
        question.with_target(Target(of="probability")),
        maps,
        ("comprehensiveness", "sufficiency"),
        protected=protected,
        removal="delete",
        orders=5,
        beam=2,
    )
    return {f"order by {row}" if row in maps else row: columns for row, columns in found.table.items()}


_SHORT = {
    "train.steps": 300,
    "train.checkpoint_every": 300,
    "train.warmup_steps": 30,
    "data.evaluation_tokens": 16384,
    "data.ngram_tokens": 500_000,
    "explained": 0,
}


@sweep(LanguageModelling, metric="test/bits per byte", mode="min", base=_SHORT)
def language_sizes() -> Iterator[dict[str, Any]]:
    """Heads, width or dropout: what decides the bits per byte of held-out modules in a short training?

    2 × 2 × 2 settings with 3 seeds, 300 steps.
    """
    axes: dict[str, Any] = {
        "model.heads": (2, 8),
        "model.dim": (32, 64),
        "train.dropout": (0.0, 0.1),
        "seed": SEEDS,
    }
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


@sweep(LanguageModelling, metric="test, 4 times as long/bits per byte", mode="min", base=_SHORT)
def language_lengths() -> Iterator[dict[str, Any]]:
    """Which positions carry beyond the trained length?

    3 kinds of positions and a window with 3 seeds, 300 steps.
    """
    for changes in (
        {"model.positions": "rope", "model.mechanism": "softmax"},
        {"model.positions": "alibi", "model.mechanism": "softmax"},
        {"model.positions": "none", "model.mechanism": "softmax"},
        {"model.positions": "rope", "model.mechanism": "window(size=32)"},
    ):
        for seed in SEEDS:
            yield {**changes, "seed": seed}


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
