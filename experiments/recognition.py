"""Does attention recognise small images better than convolutions, or than a support vector machine?

    attnjax run recognition
    attnjax run recognition --model.stem squeeze_excite --model.layers 0 --model.pooling mean
    attnjax run recognition_swin
    attnjax data fetch fashion_mnist                  # once: 31 MB, a package of Debian
    attnjax run fashion_mnist
    attnjax run recognition --data.path photos --data.side 64 --model.patch 8
    attnjax predict RUN picture.png
    attnjax explain RUN picture.png                 # what each layer and head sees of it, as a page
    attnjax sweep recognition_encoders

The digits of 8 × 8 pixels are scikit-learn's, which has to be installed for them and for the baseline. With
--data.path it is other images: MNIST's four IDX files, an npz archive, or a folder of images for each label.
`fashion_mnist` is Fashion-MNIST (Xiao et al., 2017) in its official parts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.config import user_cache
from attnjax.data.images.config import RecognitionData
from attnjax.experiment.registry import experiment
from attnjax.models.swin_config import SwinConfig
from attnjax.models.vision_config import VisionConfig
from attnjax.sweeps.registry import sweep
from attnjax.tasks.config import CrossEntropyConfig
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.tasks.recognition.task import RecognitionTask

FASHION = user_cache() / "corpora" / "fashion_mnist"
SEEDS = range(3)
ENCODERS: tuple[dict[str, Any], ...] = (
    {},
    {"model.pooling": "mean", "model.class_token": False},
    {"model.registers": 4},
    *(
        {"model.stem": stem, "model.layers": 0, "model.pooling": "mean", "model.class_token": False}
        for stem in ("convolution", "squeeze_excite", "cbam")
    ),
)


@experiment(name="recognition")
@dataclass(frozen=True)
class Recognition:
    """Tell the label of an image: scikit-learn's digits, or images of your own."""

    model: VisionConfig = VisionConfig(dim=64, heads=4, hidden=128, layers=2, image=8, patch=2)
    data: RecognitionData = RecognitionData()
    train: TrainConfig = TrainConfig(
        steps=1000, batch_size=64, checkpoint_every=250, warmup_steps=100, learning_rate=3e-3, dropout=0.1
    )
    loss: CrossEntropyConfig = CrossEntropyConfig(label_smoothing=0.1)
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def task(self, folder: Path | None = None) -> "RecognitionTask":
        from attnjax.tasks.recognition.task import RecognitionTask

        return RecognitionTask(self.data, self.model, loss=self.loss, batch_size=self.train.batch_size)


@experiment(name="recognition_swin")
@dataclass(frozen=True)
class SwinRecognition(Recognition):
    """Tell the label of an image with attention in shifted windows."""

    model: SwinConfig = SwinConfig(dim=32, depths=(2, 2), heads=(2, 4), window=2, image=8, patch=2)  # type: ignore[assignment]


@experiment(name="fashion_mnist")
@dataclass(frozen=True)
class FashionMnist(Recognition):
    """Tell the kind of clothes in a picture; `attnjax data fetch fashion_mnist` fetches Fashion-MNIST."""

    model: VisionConfig = VisionConfig(dim=64, heads=4, hidden=128, layers=2, image=28, patch=4)
    data: RecognitionData = RecognitionData(path=FASHION)
    train: TrainConfig = TrainConfig(
        steps=3000, batch_size=128, checkpoint_every=500, warmup_steps=200, learning_rate=2e-3, dropout=0.1
    )


@sweep(Recognition, metric="model/right %", mode="max", base={"train.steps": 500})
def recognition_encoders() -> Iterator[dict[str, Any]]:
    """Patches and attention, or convolutions with and without gates of channels?

    6 encoders with 3 seeds, of the parameters and of the split, 500 steps.
    """
    for encoder in ENCODERS:
        for seed in SEEDS:
            yield {**encoder, "seed": seed, "data.seed": seed}


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
