"""What is each mechanism good for? The same small model with every one that fits, on ten kinds of sequences.

    attnjax run mechanisms --model.mechanism gated_delta_net --data.source s3
    attnjax sweep mechanisms_small --launcher ray
    attnjax sweep mechanisms_card --launcher ray
    python benchmarks/mechanisms_card.py mechanisms_card

Associative recall, copying, induction, selective copying, ListOps, state tracking (parity and words of the
groups S3 and S5), text (bytes of Python's standard library) and dates as bytes: `attnjax.data.synthetic` has
the definition of each. Sequences of training have at most 48 tokens; the final table has longer ones too, up
to 4 times as long.

All have the same two blocks, no positions, and a convolution of the embeddings over 4 tokens; what a
mechanism's paper has besides (short convolutions, gates) it has. A sweep makes models of equal size. The
width of the feed-forward layers makes the parameters those of softmax attention with heads of 16, within 1 %.
Heads have the size, of 8, 16, 24, 32 and 40, with which decoding holds about as many numbers as softmax
attention does after 48 tokens. What takes all tokens at once holds nothing and has heads of 16, as has a
mask, though decoding holds no more than a window of it.

The learning rate of a mechanism on a source is the one, of 3e-3 and 1e-2, whose seeds have the best mean at
the last validation; `benchmarks/mechanisms_card.py` writes a table and a figure of the test with that rate.
Both sweeps can be stopped and go on; the table is made of what there is and says what is missing.

Expect softmax attention to lead at recall and copying, and to guess at parity. On two CPU cores, each with a
pack of its own (--launcher ray), the small sweep takes a quarter of an hour and the large one a night;
`docs/card.md` has what was measured.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.config import InputError, require
from attnjax.data.synthetic.config import SOURCES, SourceData
from attnjax.experiment.registry import experiment
from attnjax.mechanisms import Mechanism, read, table
from attnjax.models.config import LanguageModelConfig
from attnjax.sweeps.registry import sweep
from attnjax.tasks.config import CrossEntropyConfig
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.tasks.sequences import SequenceTask

MODEL = LanguageModelConfig(
    dim=64, heads=2, head_dim=16, hidden=256, positions="none", convolution=4, max_length=192
)
TRAIN = TrainConfig(
    steps=400, batch_size=16, checkpoint_every=200, warmup_steps=40, learning_rate=1e-2, dropout=0.0
)
SEEDS = range(3)
RATES = (3e-3, 1e-2)
HEAD_DIMS = (8, 16, 24, 32, 40)
VOCAB, LENGTH = 64, 48
"""The tokens, and those of a sequence, for which sizes are counted."""
SMALL = ("recall", "parity")
LARGE = tuple(source for source in SOURCES if source != "s3")
"""Of the words of groups the card has parity, which is soluble, and S5, which is not."""
FEW = (
    *("softmax", "window(size=8)", "entmax", "forget_gate", "linear", "retention", "gla"),
    *("mamba2", "delta_net", "gated_delta_net"),
)
MOST = {"tokens": 8, "blocks": 2}
"""An option that counts tokens or blocks, as its meaning says, is at most this."""
_UNIT = re.compile(r"(tokens|blocks)\b(?! from)")


@experiment
@dataclass(frozen=True)
class Mechanisms:
    """Any mechanism in a small language model, on any source of sequences."""

    model: LanguageModelConfig = MODEL
    data: SourceData = SourceData(length=LENGTH, evaluation_examples=256)
    train: TrainConfig = TRAIN
    loss: CrossEntropyConfig = CrossEntropyConfig()
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def task(self, folder: Path | None = None) -> "SequenceTask":
        from attnjax.data.synthetic.sources import make_source
        from attnjax.tasks.sequences import SequenceTask

        return SequenceTask(
            make_source(self.data), self.model, loss=self.loss, batch_size=self.train.batch_size
        )


@sweep(Mechanisms, metric="as trained/answers %", mode="max")
def mechanisms_card() -> Iterator[dict[str, Any]]:
    """What is every mechanism good for, at equal parameters and equal state?

    Every mechanism that fits × 9 sources × 2 learning rates × 3 seeds, 400 steps.
    """
    yield from trials(LARGE, (short(row) for row in table(Mechanism).values()))


@sweep(Mechanisms, metric="as trained/answers %", mode="max")
def mechanisms_small() -> Iterator[dict[str, Any]]:
    """What are ten mechanisms good for, at equal parameters and equal state, in 20 minutes?

    10 mechanisms × recall and parity × 2 learning rates × 3 seeds, 400 steps.
    """
    yield from trials(SMALL, FEW)


def trials(sources: Iterable[str], mechanisms: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yields the changes of each trial, source after source."""
    models = [model for model in fitted(mechanisms).values() if isinstance(model, LanguageModelConfig)]
    for source in sources:
        for model in models:
            for rate in RATES:
                for seed in SEEDS:
                    yield {
                        "data.source": source,
                        "model.mechanism": model.mechanism,
                        "model.head_dim": model.head_dim,
                        "model.hidden": model.hidden,
                        "train.learning_rate": rate,
                        "seed": seed,
                    }


def fitted(mechanisms: Iterable[str]) -> dict[str, LanguageModelConfig | str]:
    """Returns the model of each mechanism, of equal size, or the reason why there is none."""
    from attnjax.models.sizes import of_equal_size, require_reads

    found: dict[str, LanguageModelConfig | str] = {}
    for mechanism in mechanisms:
        try:
            asked = replace(MODEL, mechanism=mechanism)
            ahead = [p.row.name for c in read(mechanism) for p in c.parts if getattr(p.row, "widens", False)]
            require(not ahead, f"{mechanism} reads ahead: it would see what it is asked")
            masked = any(getattr(p.row, "role", "") == "mask" for c in read(mechanism) for p in c.parts)
            # A mask is compared with attention to all keys by what it hides, with the same heads.
            dims = (MODEL.head_size,) if masked else HEAD_DIMS
            model = of_equal_size(asked, MODEL, dims, vocab=VOCAB, length=LENGTH)
            require_reads(model, LENGTH)
        except InputError as error:
            found[mechanism] = str(error)
        else:
            found[mechanism] = model
    return found


def short(row: Mechanism) -> str:
    """Returns a mechanism with options that leave something to hide in sequences of 48 tokens.

    >>> from attnjax.mechanisms import find
    >>> short(find("bigbird")), short(find("gla"))
    ('bigbird(size=8)', 'gla')
    """
    given = {
        name: most
        for name, option in row.options.items()
        if (unit := _UNIT.match(option.meaning))
        and (most := MOST[unit[0]])
        and option.kind == "int"
        and option.of_model is None
        and (option.default or 0) > most
    }
    options = ", ".join(f"{name}={value}" for name, value in given.items())
    return f"{row.name}({options})" if options else row.name


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
