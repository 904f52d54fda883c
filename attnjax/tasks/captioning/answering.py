"""Captions that a trained model gives images, and what it read of them."""

import dataclasses
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, UInt8

from attnjax.config import InputError
from attnjax.data.images.config import CaptionData
from attnjax.data.images.files import read_image
from attnjax.data.images.pictures import Pictures, normalised, of_unit
from attnjax.models.captioner import Captioner
from attnjax.models.captioner_config import CaptionerConfig
from attnjax.models.show_attend_tell import RecurrentCaptioner
from attnjax.tasks.base import Arrays, Params
from attnjax.tasks.captioning.caption import Caption
from attnjax.tasks.captioning.pointing import by_word, words_of
from attnjax.tasks.captioning.texts import CaptionTexts, untagged
from attnjax.tasks.model_task import ModelTask
from attnjax.tasks.translation.config import SearchConfig
from attnjax.tasks.translation.search import Found, searched, weights_of

AnyCaptioner = Captioner | RecurrentCaptioner
GREY = 128
"""The pixels of an image that is left out."""


class GivenImage(NamedTuple):
    """An image to caption: its pixels, and its name for files."""

    pixels: UInt8[np.ndarray, "Y X C"]
    name: str = "image"


class TrainedCaptioning(ModelTask[AnyCaptioner]):
    """The half of a captioning task that a trained model is enough for; the other half trains it.

    Attributes:
      data: what the images are like.
      config: the model's shape.
      search: the settings of captions.
      texts: of captions.
    """

    data: CaptionData
    config: CaptionerConfig
    search: SearchConfig
    texts: CaptionTexts

    def read_input(self, text: str) -> GivenImage:
        """Returns the image in a file. Raises InputError where it is none."""
        path = Path(text)
        return GivenImage(read_image(path, self.config.image, self.config.channels), path.stem)

    def predict(self, params: Params, inputs: Sequence[GivenImage]) -> list[Caption]:
        """Returns the caption of each image, with what each word looked at."""
        return self._written(params, inputs, self.search)

    def _written(self, params: Params, inputs: Sequence[GivenImage], search: SearchConfig) -> list[Caption]:
        found = self._found(params, np.stack([one.pixels for one in inputs]), search)
        rows = (jax.tree.map(lambda x, row=row: x[row], found) for row in range(len(inputs)))
        return [self._captioned(one, row) for one, row in zip(inputs, rows, strict=True)]

    def joined(self, params: Params, others: Sequence[tuple[str, Any, Params]]) -> Params:
        """Raises InputError: there are no ensembles of captioners."""
        raise InputError(f"{others[0][0]}: captions are written by one run alone, expected no ensemble")

    @property
    def _weights_of(self) -> str:
        """The layer and the heads whose weights captions come with, in words."""
        recurrent = self.config.recurrent
        return weights_of(self.config) if recurrent is None else str(recurrent.weights_of)

    def _pixels(self, part: Pictures, rows: Sequence[int]) -> UInt8[np.ndarray, "B Y X C"]:
        return part.images(rows, self.config.image, self.config.channels)

    def _sources(self, images: Float[np.ndarray, "B Y X C"]) -> Arrays:
        """Returns what the model reads of images of 0 to 1; grey, where it is blind."""
        images = np.full_like(images, GREY / 255) if self.data.blind else images
        patches = (images.shape[1] // self.config.patch) * (images.shape[2] // self.config.patch)
        return {"source": normalised(images), "source_lengths": np.full(len(images), patches, np.int32)}

    def _found(self, params: Params, images: UInt8[np.ndarray, "B Y X C"], search: SearchConfig) -> Found:
        seeds = [zlib.crc32(image.tobytes(), search.seed) for image in images]
        arrays = {**self._sources(of_unit(images)), "seed": np.array(seeds, np.uint32)}
        return searched(self, params, arrays, search, self.texts.tokenizer, self.texts.width - 1)

    def _text(self, tokens: np.ndarray, count: int) -> str:
        return untagged(" ".join(self.texts.tokenizer.decode(tokens[:count].tolist()).split()))

    def _captioned(self, shown: GivenImage, found: Found) -> Caption:
        """Returns the best caption that was found for an image, and others in it."""
        side = self.config.image // self.config.patch
        ranked: dict[str, Caption] = {}
        for tokens, count, score, logs, weights in zip(*found, strict=True):
            text = self._text(tokens, count)
            if ranked and (text in ranked or score == -np.inf):
                continue
            pieces = self.texts.tokenizer.names(tokens[:count].tolist())
            weights = weights[:count]
            if pieces[:1] and pieces[0] in self.texts.tags:
                pieces, weights = pieces[1:], weights[1:]
            maps = by_word(weights, pieces) if pieces else np.zeros((0, side * side))
            words = ["".join(pieces[i] for i in own).replace("▁", "") for own in words_of(pieces)]
            numbers = float(logs[: count + 1].sum()), float(score)
            grids = maps.reshape(-1, side, side)
            ranked[text] = Caption(text, shown.pixels, words, grids, shown.name, self._weights_of, *numbers)
        best, *others = list(ranked.values())[: self.search.n_best]
        return dataclasses.replace(best, others=tuple(others))
