"""What is in a picture, and where does a model look when it says so?

attnjax run captioning
attnjax run captioning --data.kind digits
attnjax run show_attend_tell
attnjax run captioning --data.blind
attnjax sweep captioning_attention
attnjax run captioning --data.captions captions.json --data.images photos --model.image 128 --model.patch 16
attnjax predict RUN picture.png --search.beams 5
"""

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.data.images.config import CaptionData
from attnjax.experiment.registry import experiment
from attnjax.models.captioner_config import CaptionerConfig
from attnjax.sweeps.registry import sweep
from attnjax.tasks.captioning.config import CaptionLossConfig
from attnjax.tasks.translation.config import SearchConfig
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.tasks.captioning.task import CaptioningTask

TRAIN = TrainConfig(
    steps=1500, batch_size=64, checkpoint_every=500, warmup_steps=100, learning_rate=2e-3, dropout=0.0
)


@experiment(name="captioning")
@dataclass(frozen=True)
class Captioning:
    """Caption drawn scenes, or your own images, with patches, blocks and a Transformer decoder."""

    model: CaptionerConfig = CaptionerConfig(dim=64, heads=4, encoder_layers=2, decoder_layers=2, patch=8)
    data: CaptionData = CaptionData()
    train: TrainConfig = TRAIN
    loss: CaptionLossConfig = CaptionLossConfig()
    search: SearchConfig = SearchConfig()
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def task(self, folder: Path | None = None) -> "CaptioningTask":
        from attnjax.tasks.captioning.task import CaptioningTask

        return CaptioningTask(
            self.data,
            self.model,
            loss=self.loss,
            batch_size=self.train.batch_size,
            folder=folder,
            search=self.search,
        )


@experiment(name="show_attend_tell")
@dataclass(frozen=True)
class ShowAttendTell(Captioning):
    """Caption images with convolutions and additive attention, whose weights are to cover the image."""

    model: CaptionerConfig = CaptionerConfig(
        dim=64,
        heads=1,
        encoder_layers=0,
        decoder_layers=1,
        patch=8,
        stem="convolution",
        cross_mechanism="additive",
    )
    loss: CaptionLossConfig = CaptionLossConfig(doubly_stochastic=0.1)


@experiment(name="emoji")
@dataclass(frozen=True)
class Emoji(Captioning):
    """Name emoji in several languages, asked for by a tag; `python scripts/emoji.py` makes their files."""

    model: CaptionerConfig = CaptionerConfig(
        dim=96, heads=4, encoder_layers=2, decoder_layers=2, image=64, patch=8, stem="convolution"
    )
    data: CaptionData = CaptionData(vocab_size=3000)
    train: TrainConfig = dataclasses.replace(TRAIN, dropout=0.1)
    loss: CaptionLossConfig = CaptionLossConfig(label_smoothing=0.1)


@sweep(Captioning, metric="unseen combinations/exact match %", mode="max", base={"train.steps": 600})
def captioning_attention() -> Iterator[dict[str, Any]]:
    """Heads, width, dropout or the kind of attention: what decides, and does pointing follow the score?

    2 × 2 × 2 × 2 settings with 2 seeds each, 600 steps.
    """
    axes = {
        "model.heads": (1, 4),
        "model.dim": (32, 64),
        "train.dropout": (0.0, 0.1),
        "model.cross_mechanism": ("softmax", "additive"),
        "seed": (0, 1),
    }
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
