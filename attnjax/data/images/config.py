"""Settings of images that are drawn. Free of jax and numpy."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from attnjax.config import require, require_seed
from attnjax.data.synthetic.config import require_whole

Kind = Literal["scenes", "digits"]
Things = Literal["shapes", "digits", "lesions"]
CELL = 6
"""Pixels of a side of a cell."""


@dataclass(frozen=True)
class MosaicData:
    """Mosaics of digits with one mark: which digit stands so many cells to its right?"""

    rows: int = 4
    """Cells of a column."""
    columns: int = 4
    """Cells of a row."""
    apart: int = 1
    """Cells from the mark to the digit that is asked for."""
    noise: float = 0.2
    """Standard deviation of what is added to each pixel, which is 0 or 1."""
    evaluation_examples: int = 512
    """Images of each row of the final table."""
    seed: int = 0
    """Decides all images; those of training, validation and test have streams of their own."""

    def __post_init__(self) -> None:
        for name in ("rows", "apart", "evaluation_examples"):
            require_whole(name, getattr(self, name), 1)
        require_whole("columns", self.columns, self.apart + 1)
        require(
            math.isfinite(self.noise) and self.noise >= 0,
            f"data.noise is {self.noise!r}: it must be 0 or more",
        )
        require_seed("data.seed", self.seed)


@dataclass(frozen=True)
class AugmentConfig:
    """Changes of images in training; each image of each step has its own."""

    crop: int = 0
    """Pixels by which an image is moved at most, each way; the border is repeated."""
    flip: float = 0.0
    """Share of images that are turned, left to right."""
    colour: float = 0.0
    """Most that contrast and brightness of each channel change, as a share of the whole range."""
    cutout: float = 0.0
    """Side of a grey square somewhere, as a share of the image's (arXiv:1708.04552); 0: there is none."""

    def __post_init__(self) -> None:
        require_whole("augment.crop", self.crop, 0)
        for name in ("flip", "colour", "cutout"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"data.augment.{name} is {value!r}: it must lie in [0, 1]")

    @property
    def any(self) -> bool:
        """True if anything is changed at all."""
        return self != AugmentConfig()


@dataclass(frozen=True)
class SceneData:
    """Drawn scenes of two groups of things, with captions."""

    kind: Kind = "scenes"
    """One to three coloured shapes on either side, or two digits."""
    examples: int = 12_000
    """Scenes to train on."""
    evaluation_examples: int = 1000
    """Scenes of each held-out part."""
    noise: float = 0.05
    """Standard deviation of what is added to each pixel, which is in 0 to 1."""
    seed: int = 0
    """Decides all scenes; those of each part have a stream of their own."""

    def __post_init__(self) -> None:
        kinds = get_args(Kind)
        require(self.kind in kinds, f"data.kind is {self.kind!r}: expected one of {', '.join(kinds)}")
        for name in ("examples", "evaluation_examples"):
            require_whole(name, getattr(self, name), 1)
        require(
            math.isfinite(self.noise) and self.noise >= 0,
            f"data.noise is {self.noise!r}: it must be 0 or more",
        )
        require_seed("data.seed", self.seed)


@dataclass(frozen=True)
class CaptionData(SceneData):
    """Images with captions: drawn scenes, or files of your own."""

    captions: Path | None = None
    """Your captions: COCO's JSON, Karpathy's, or Flickr8k's token file; None: scenes are drawn."""
    images: Path | None = None
    """The folder that the names of your images are in."""
    holdout: float = 0.1
    """Share of your images held out for each part that the captions do not name."""
    leave_out_broken: bool = False
    """Leave out images that cannot be read; else they are named and nothing starts."""
    vocab_size: int = 4000
    """Most pieces of captions to learn, by byte-pair encoding."""
    max_length: int = 64
    """The longest caption that is accepted, in tokens, with its two end marks."""
    blind: bool = False
    """True if every image is grey: what captions are worth that know none, the baseline."""
    augment: AugmentConfig = AugmentConfig()
    """Changes of images in training; to turn an image makes left of it right."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.holdout < 0.5, f"data.holdout is {self.holdout}: it must lie between 0 and 0.5")
        require_whole("vocab_size", self.vocab_size, 16)
        require_whole("max_length", self.max_length, 3)
        require(
            (self.captions is None) == (self.images is None),
            "data.captions and data.images come together: a file of captions, and the folder of their images",
        )


@dataclass(frozen=True)
class RecognitionData:
    """Images with labels: scikit-learn's digits, or what lies at a path."""

    path: Path | None = None
    """An npz archive, a folder with MNIST's four IDX files, or a folder of images for each label (in train
    and test, or in one); None: scikit-learn's 1,797 digits of 8 × 8 pixels."""
    side: int = 32
    """Pixels to which images of a folder are resized; others stay as they are."""
    channels: int = 3
    """Numbers of a pixel of images of a folder; others stay as they are."""
    holdout: float = 0.15
    """Share of the images held out for validation, and for the test where none is given."""
    most: int | None = None
    """Images to train on, the first ones in the order of the seed; None: all."""
    leave_out_broken: bool = False
    """Leave out images that cannot be read; else they are named and nothing starts."""
    augment: AugmentConfig = AugmentConfig()
    """Changes of images in training."""
    mixup: float = 0.0
    """α of mixup (arXiv:1710.09412); 0: there is none."""
    seed: int = 0
    """Decides the split, the order of the batches and the changes."""

    def __post_init__(self) -> None:
        require(0 < self.holdout < 0.5, f"data.holdout is {self.holdout}: it must lie between 0 and 0.5")
        require_whole("side", self.side, 2)
        require(self.channels in (1, 3), f"data.channels is {self.channels!r}: it must be 1 or 3")
        if self.most is not None:
            require_whole("most", self.most, 1)
        require(
            math.isfinite(self.mixup) and self.mixup >= 0,
            f"data.mixup is {self.mixup!r}: it must be 0 or more",
        )
        require_seed("data.seed", self.seed)


@dataclass(frozen=True)
class DetectionData:
    """Images with objects in boxes: drawn shapes or digits on a canvas, or files of your own."""

    train: Path | None = None
    """COCO's JSON (images, annotations with bbox, categories); None: objects are drawn."""
    images: Path | None = None
    """The folder that the names of your images are in; None: that of the JSON file."""
    validation: Path | None = None
    """COCO's JSON of images that choose the best checkpoint; None: held out of `train`."""
    test: Path | None = None
    """COCO's JSON of images of the final table; None: held out of `train`."""
    holdout: float = 0.15
    """Share of your images held out for each part that you do not give."""
    leave_out_broken: bool = False
    """Leave out images that cannot be read; else they are named and nothing starts."""
    kind: Things = "shapes"
    """The things that are drawn: five shapes or ten digits in one of four colours, or spots on tissue."""
    objects: int = 3
    """Objects that are drawn on an image at most; one at least, and of lesions none."""
    side: int = 32
    """Pixels of a side of all images; yours are squeezed into the square, with their boxes."""
    noise: float = 0.05
    """Standard deviation of what is added to each drawn pixel, which is in 0 to 1."""
    evaluation_examples: int = 500
    """Drawn images of each row of the final table."""
    seed: int = 0
    """Decides all drawn images, or the split and the order of the batches."""

    def __post_init__(self) -> None:
        kinds = get_args(Things)
        require(self.kind in kinds, f"data.kind is {self.kind!r}: expected one of {', '.join(kinds)}")
        for name, least in (("objects", 1), ("side", 24), ("evaluation_examples", 1)):
            require_whole(name, getattr(self, name), least)
        require(0 < self.holdout < 0.5, f"data.holdout is {self.holdout}: it must lie between 0 and 0.5")
        require(
            math.isfinite(self.noise) and self.noise >= 0,
            f"data.noise is {self.noise!r}: it must be 0 or more",
        )
        for name in ("images", "validation", "test"):
            require(
                getattr(self, name) is None or self.train is not None,
                f"data.{name} needs data.train: drawn images have parts of their own",
            )
        require_seed("data.seed", self.seed)
