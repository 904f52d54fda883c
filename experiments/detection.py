"""Where are the things in an image, what are they, and does a query look at the thing that it names?

    attnjax run detection                           # five shapes in four colours, one to three on an image
    attnjax run detection --data.kind digits
    attnjax run detection --data.train boxes.json --data.images photos --data.side 64   # COCO's JSON
    attnjax run lesions                             # bright spots in rendered tissue, a toy of medicine
    attnjax predict RUN picture.png                 # picture.detection.png and .html beside it
    attnjax sweep detection_sizes

A DETR of two layers (arXiv:2005.12872) on 32 × 32 pixels: a small convolutional backbone makes 8 × 8 cells,
an encoder layer mixes them, and six queries attend to them. Images to train on are drawn at every step.

The final table has COCO's AP for held-out images and for images with more objects than any in training.
Beside it is a grid of convolutions with the same backbone and no attention, in which each cell answers for
what has its middle there, with doubles taken out, and the mean box of each label, which sees nothing. Then
come how much of each query's attention lies in the true box of its object, by chance too, and how much of the
probability of the right label is lost when what it attends to is hidden.

The drawn images are a toy: nothing overlaps, so that all can be found and the best possible AP is 100.
docs/guides/detection.md says what is measured.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.data.images.config import DetectionData
from attnjax.experiment.registry import experiment
from attnjax.models.detr_config import DetrConfig, ResNetConfig
from attnjax.sweeps.registry import sweep
from attnjax.tasks.detection.config import SetLossConfig
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.tasks.detection.task import DetectionTask

MODEL = DetrConfig(
    ResNetConfig(stem=16, widths=(32,), depths=(1,), bottleneck=False),
    dim=64,
    heads=4,
    hidden=128,
    encoder_layers=1,
    decoder_layers=2,
    queries=6,
)
TRAIN = TrainConfig(
    steps=1000,
    batch_size=32,
    log_every=100,
    checkpoint_every=500,
    warmup_steps=100,
    learning_rate=1e-3,
    dropout=0.0,
)
SEEDS = range(3)


@experiment(name="detection")
@dataclass(frozen=True)
class Detection:
    """Find the objects of an image and their boxes, with queries that attend to it."""

    model: DetrConfig = MODEL
    data: DetectionData = DetectionData()
    train: TrainConfig = TRAIN
    loss: SetLossConfig = SetLossConfig()
    baseline_steps: int = 500
    """Steps of the grid of convolutions in the final table; 0: there is none."""
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def task(self, folder: Path | None = None) -> "DetectionTask":
        from attnjax.tasks.detection.task import DetectionTask

        return DetectionTask(
            self.data,
            self.model,
            loss=self.loss,
            baseline_steps=self.baseline_steps,
            batch_size=self.train.batch_size,
        )


@experiment(name="lesions")
@dataclass(frozen=True)
class Lesions(Detection):
    """Find bright spots in rendered tissue, a toy of medical images: nothing here is for the clinic."""

    data: DetectionData = DetectionData(kind="lesions", objects=2)


@sweep(
    Detection,
    metric="model: held-out images/AP",
    mode="max",
    base={"train.steps": 500, "train.checkpoint_every": 500, "baseline_steps": 0},
)
def detection_sizes() -> Iterator[dict[str, Any]]:
    """Heads, width or dropout: what decides how well objects are found?

    2 × 2 × 2 settings with 3 seeds, 500 steps.
    """
    axes: dict[str, Any] = {
        "model.heads": (1, 4),
        "model.dim": (32, 64),
        "train.dropout": (0.0, 0.1),
        "seed": SEEDS,
    }
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
