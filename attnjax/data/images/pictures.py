"""Images with captions in parts, ready to train on: drawn ones, and files that are read when asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Int, UInt8

from attnjax.config import require
from attnjax.data.images.captions import Captioned, read_captions
from attnjax.data.images.config import CaptionData, SceneData
from attnjax.data.images.files import read_image, require_image, usable
from attnjax.data.images.scenes import SEEN, UNSEEN, scenes
from attnjax.data.synthetic.questions import Split

TRAIN, VALIDATION, TEST = "train", "validation", "test"
KEPT_BYTES = 2**28
"""Of the decoded images of a part: where they are no more, each file is read once."""
_MIDDLE, _SPREAD = 0.5, 0.25


@dataclass(frozen=True)
class Pictures:
    """Images and their captions.

    Attributes:
      captions: of each image, one or more.
      pixels: of all images, where they are at hand.
      files: of the images, where they are not.
      regions: for each word of each image's first caption the region that it is said of; 0 for none.
      owner: for each pixel the region that it lies in; None where nobody knows.
    """

    captions: list[tuple[str, ...]]
    pixels: UInt8[np.ndarray, "n Y X C"] | None = None
    files: Sequence[Path] = ()
    regions: Sequence[tuple[int, ...]] = ()
    owner: UInt8[np.ndarray, "n Y X"] | None = None
    _kept: dict[tuple[int, int, int], np.ndarray] = field(default_factory=dict, init=False, compare=False)

    def __len__(self) -> int:
        return len(self.captions)

    def images(
        self, rows: Sequence[int] | Int[np.ndarray, " B"], side: int, channels: int
    ) -> UInt8[np.ndarray, "B side side C"]:
        """Returns the pixels of some images.

        Raises:
          InputError: A file has become unreadable.
        """
        if self.pixels is not None:
            return self.pixels[np.asarray(rows, np.intp)]
        if len(self) * side * side * channels > KEPT_BYTES:
            return np.stack([read_image(self.files[row], side, channels) for row in rows])
        size = (side, channels)
        for row in rows:
            if (row, *size) not in self._kept:
                self._kept[row, *size] = read_image(self.files[row], side, channels)
        return np.stack([self._kept[row, *size] for row in rows])


def of_unit(pixels: UInt8[np.ndarray, "B Y X C"]) -> Float32[np.ndarray, "B Y X C"]:
    """Returns pixels as numbers from 0 to 1."""
    return pixels.astype(np.float32) / np.float32(255)


def normalised(images: Float32[np.ndarray, "B Y X C"]) -> Float32[np.ndarray, "B Y X C"]:
    """Returns images of 0 to 1 as models read them: from -2 to 2.

    >>> normalised(np.array([0, 0.5, 1], np.float32)).tolist()
    [-2.0, 0.0, 2.0]
    """
    return (images - np.float32(_MIDDLE)) / np.float32(_SPREAD)


def drawn_pictures(data: CaptionData) -> dict[str, Pictures]:
    """Returns scenes for training, validation and both rows of the final table.

    Trials of a sweep share them: what was drawn last is kept.
    """
    names = (field.name for field in fields(SceneData))
    return dict(_drawn(SceneData(**{name: getattr(data, name) for name in names})))


@lru_cache(2)
def _drawn(data: SceneData) -> Mapping[str, Pictures]:
    plan = {
        TRAIN: (data.examples, Split.TRAIN, False),
        VALIDATION: (data.evaluation_examples, Split.VALIDATION, False),
        SEEN: (data.evaluation_examples, Split.TEST, False),
        UNSEEN: (data.evaluation_examples, Split.TEST, True),
    }
    parts = {}
    for name, (count, part, unseen) in plan.items():
        made = scenes(data, count, part, unseen=unseen)
        made.images.setflags(write=False)
        captions = [scene.captions for scene in made.shown]
        regions = [scene.regions(scene.captions[0]) for scene in made.shown]
        parts[name] = Pictures(list(captions), made.images, (), regions, made.owner)
    return parts


def own_pictures(data: CaptionData) -> tuple[dict[str, Pictures], list[str]]:
    """Returns a user's images by part, and notes on what was left out.

    Parts that the captions do not name are held out at random of those that they do; by the seed.

    Raises:
      InputError: The captions cannot be read, images are broken, or a part is empty.
    """
    assert data.captions is not None
    assert data.images is not None
    found = read_captions(data.captions, data.images)
    fit, notes = usable(require_image, [one.file for one in found], leave_out=data.leave_out_broken)
    kept = [one for one in found if one.file in fit]
    parts = {part: [one for one in kept if one.part == part] for part in (TRAIN, VALIDATION, TEST)}
    parts[TRAIN] += [one for one in kept if not one.part]
    order = np.random.default_rng(data.seed).permutation(len(parts[TRAIN])).tolist()
    held = max(1, round(data.holdout * len(order)))
    taken: set[int] = set()
    for part in (VALIDATION, TEST):
        if not parts[part]:
            rows, order = order[:held], order[held:]
            parts[part] = [parts[TRAIN][row] for row in rows]
            taken.update(rows)
    parts[TRAIN] = [one for row, one in enumerate(parts[TRAIN]) if row not in taken]
    require(
        all(parts.values()),
        f"{data.captions}: of {len(kept)} images {len(parts[TRAIN])} are left to train on, expected some",
    )
    return {name: _of_files(part) for name, part in parts.items()}, notes


def _of_files(part: list[Captioned]) -> Pictures:
    return Pictures([one.captions for one in part], files=[one.file for one in part])


def holds(owner: UInt8[np.ndarray, "Y X"], region: int, patch: int) -> Bool[np.ndarray, " P"]:
    """Returns for each patch, row by row, whether a pixel of it lies in a region.

    >>> holds(np.array([[1, 1, 0, 0], [1, 1, 0, 2]], np.uint8), 2, 2).tolist()
    [False, True]
    """
    height, width = (side // patch for side in owner.shape)
    cut = owner.reshape(height, patch, width, patch) == region
    within: np.ndarray = cut.any((1, 3)).reshape(-1)
    return within
