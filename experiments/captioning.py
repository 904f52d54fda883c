"""What is in a picture, and where does a model look when it says so?

    attnjax run captioning
    attnjax run captioning --data.kind digits
    attnjax run captioning --data.blind True
    attnjax run captioning --model.decoder lstm
    attnjax run show_attend_tell --search.beams 5
    attnjax sweep captioning_attention
    attnjax sweep captioning_decoders
    attnjax data fetch emoji                        # once: 27 MB, two packages of Debian
    attnjax run emoji
    attnjax run captioning --data.captions coco.json --data.images photos --model.image 128 --model.patch 16
    attnjax predict RUN picture.png
    attnjax predict RUN_OF_EMOJI picture.png --prefix "<de>"

A drawn scene has two groups of things, "a red ring left of two blue squares", and it is known where they are:
the pointing game asks whether each word looks at what it is said of. A fifth of the combinations of colour
and shape never comes in training, and makes a row of its own. Without images there are the rows "in grey"
(the trained model before a grey image) and training with --data.blind. Captions of one's own come in
COCO's form, Karpathy's or Flickr8k's; emoji have names in several languages, asked for by a tag.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.config import user_cache
from attnjax.data.images.config import CaptionData
from attnjax.experiment.registry import experiment
from attnjax.models.captioner_config import CaptionerConfig
from attnjax.sweeps.registry import sweep
from attnjax.tasks.captioning.config import CaptionLossConfig
from attnjax.tasks.translation.config import SearchConfig
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.tasks.captioning.task import CaptioningTask

EMOJI = user_cache() / "corpora" / "emoji"
TRAIN = TrainConfig(
    steps=2400, batch_size=64, checkpoint_every=300, warmup_steps=100, learning_rate=2e-3, dropout=0.0
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
    """Caption images with convolutions and an LSTM, whose additive attention is to cover the image."""

    model: CaptionerConfig = CaptionerConfig(
        dim=64,
        heads=1,
        encoder_layers=0,
        decoder_layers=1,
        patch=8,
        stem="convolution",
        cross_mechanism="additive",
        decoder="lstm",
    )
    loss: CaptionLossConfig = CaptionLossConfig(doubly_stochastic=0.1)


@experiment(name="emoji")
@dataclass(frozen=True)
class Emoji(Captioning):
    """Name emoji in several languages, asked for by a tag; `attnjax data fetch emoji` makes their files."""

    model: CaptionerConfig = CaptionerConfig(
        dim=96, heads=4, encoder_layers=2, decoder_layers=2, image=64, patch=8, stem="convolution"
    )
    data: CaptionData = CaptionData(
        captions=EMOJI / "captions.json", images=EMOJI / "images", vocab_size=3000
    )
    train: TrainConfig = dataclasses.replace(TRAIN, dropout=0.1, log_every=10)
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


@sweep(ShowAttendTell, metric="unseen combinations/exact match %", mode="max", base={"train.steps": 600})
def captioning_decoders() -> Iterator[dict[str, Any]]:
    """Blocks, an LSTM or a GRU behind the same convolutions, with the doubly stochastic penalty or without.

    3 × 2 settings with 2 seeds each, 600 steps.
    """
    axes = {
        "model.decoder": ("blocks", "lstm", "gru"),
        "loss.doubly_stochastic": (0.0, 0.1),
        "seed": (0, 1),
    }
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
