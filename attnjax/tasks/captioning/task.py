"""Captioning with an encoder of images and a decoder of words: drawn scenes, or a user's own images."""

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from attnjax.config import require
from attnjax.data.hosts import host_share
from attnjax.data.images.augment import augmented
from attnjax.data.images.config import CaptionData
from attnjax.data.images.pictures import (
    TRAIN,
    VALIDATION,
    Pictures,
    drawn_pictures,
    of_unit,
    own_pictures,
)
from attnjax.data.images.scenes import SIDE
from attnjax.data.pipeline import Batches
from attnjax.data.text.tokenizer import BOS, EOS, PAD
from attnjax.models.captioner import Captioner
from attnjax.models.captioner_config import CaptionerConfig
from attnjax.models.decoding.scoring import force
from attnjax.models.show_attend_tell import RecurrentCaptioner
from attnjax.nn import Capture
from attnjax.nn.dropout import Dropout
from attnjax.tasks.base import Arrays, Evaluation, Hyperparameters, LossAndMetrics, Params
from attnjax.tasks.captioning.answering import AnyCaptioner, GivenImage, TrainedCaptioning
from attnjax.tasks.captioning.config import CaptionLossConfig
from attnjax.tasks.captioning.evaluation import evaluated
from attnjax.tasks.captioning.penalty import doubly_stochastic
from attnjax.tasks.captioning.pointing import Pointed, by_word, points
from attnjax.tasks.captioning.texts import CaptionTexts, in_language, untagged
from attnjax.tasks.losses import smoothed_cross_entropy
from attnjax.tasks.metrics.captions import any_exact, cider
from attnjax.tasks.model_task import require_positions
from attnjax.tasks.translation.config import GREEDY, SearchConfig
from attnjax.tasks.translation.losses import attention_to_source

VALIDATION_EXAMPLES = 256
POINTED = 512
"""Images of a part on which the pointing game is played."""


class CaptioningTask(TrainedCaptioning):
    """Writes what images show with a `Captioner` or `RecurrentCaptioner`, trained by the next tokens.

    Args:
      data: the images and captions.
      config: the model's shape; of drawn scenes the channels and the side of images are theirs.
      loss: the loss's settings.
      batch_size: of all hosts together.
      folder: where `save` left the tokenizer: it is used as it is, and the data is read only when it is
        needed. Else data is read and a tokenizer trained at once.
      search: for captions, in `evaluate` and `predict`; `validate` takes the likeliest token.

    Raises:
      InputError: the data cannot be used, or captions are longer than the model's learned positions.

    References:
      Xu et al., Show, Attend and Tell, 2015, arXiv:1502.03044.
    """

    def __init__(
        self,
        data: CaptionData,
        config: CaptionerConfig,
        *,
        loss: CaptionLossConfig,
        batch_size: int,
        folder: Path | None = None,
        search: SearchConfig = GREEDY,
    ) -> None:
        require(
            search.coverage_penalty == "none",
            f"search.coverage_penalty is {search.coverage_penalty!r}: images have none, expected none",
        )
        self.search, self.data, self._loss, self._batch_size = search, data, loss, batch_size
        self.config = config if data.captions is not None else _of_scenes(config, data)
        if folder is not None and CaptionTexts.saved_in(folder):
            self.texts = CaptionTexts.load(folder)
        else:
            self.texts = CaptionTexts.fitting(self._parts, vocab_size=data.vocab_size, most=data.max_length)
        require_positions(config, self.texts.width, "the captions")

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]:
        """Exact match for drawn scenes; CIDEr-D for captions of people, which rarely match."""
        return ("exact_match" if self.data.captions is None else "cider"), "max"

    @property
    def notes(self) -> list[str]:
        """Lines on the sizes of what was read, and on images that were left out."""
        sizes = ", ".join(f"{len(part)} {name}" for name, part in self._parts.items())
        return [f"images: {sizes}; a vocabulary of {self.texts.tokenizer.size} pieces", *self._read[1]]

    def build(self, rngs: nnx.Rngs) -> AnyCaptioner:
        """Returns a model over the vocabulary of captions."""
        make = Captioner if self.config.recurrent is None else RecurrentCaptioner
        return make(self.config, target_vocab=self.texts.tokenizer.size, rngs=rngs)

    def batch(self, step: int) -> Arrays:
        """Returns "source" (images), "source_lengths" (patches) and "target" of a step.

        Of several captions of an image one is drawn, by seed, step and row.
        """
        part, data = self._parts[TRAIN], self.data
        rows = self._batches[step]["row"]
        draws = host_share(np.random.default_rng([data.seed, step]).random(self._batch_size))
        captions = [part.captions[row] for row in rows]
        texts = [own[int(draw * len(own))] for own, draw in zip(captions, draws, strict=True)]
        images = of_unit(part.images(rows, self.config.image, self.config.channels))
        places = host_share(np.arange(self._batch_size))
        images = augmented(images, data.augment, data.seed, step, places, self._batch_size)
        return {**self._sources(images), "target": self.texts.arrays(texts)}

    def loss_of(
        self,
        model: AnyCaptioner,
        batch: Mapping[str, jax.Array],
        *,
        dropout: Dropout | None,
        hyper: Hyperparameters,
    ) -> LossAndMetrics:
        """Returns the `smoothed_cross_entropy` of the tokens, and adds the `doubly_stochastic` penalty.

        The penalty is the mean over tokens of that of their image, so that batches join exactly.
        """
        target, labels = batch["target"][:, :-1], batch["target"][:, 1:]
        smoothing = hyper.get("label_smoothing", self._loss.label_smoothing)
        weight = self._loss.doubly_stochastic
        given = batch["source"], batch["source_lengths"], target
        counted = labels != PAD
        if weight == 0:
            output = model(*given, dropout=dropout)
            return smoothed_cross_entropy(output.logits, labels, counted, smoothing)
        last = 0 if self.config.recurrent is not None else self.config.decoder_layers - 1
        asked = Capture(layers=(last,))
        memory = model.encode(*given[:2], dropout=dropout).memory
        output = model.decode(target, memory, given[1], dropout=dropout, capture=asked)
        loss, metrics = smoothed_cross_entropy(output.logits, labels, counted, smoothing)
        looks = attention_to_source(output.weights, None).mean(axis=1)
        extra = doubly_stochastic(looks, counted)
        return loss + weight * extra, {**metrics, "doubly_stochastic": extra}

    def validate(self, params: Params) -> dict[str, float]:
        """Returns exact match in percent and CIDEr-D on the first few hundred validation images.

        Where captions have tags it is of the first of them.
        """
        part, rows = self._parts[VALIDATION], self._validated
        captions = [tuple(map(untagged, part.captions[row])) for row in rows]
        search = GREEDY
        if self.texts.tags:
            tag = self.texts.tags[0]
            part = in_language(part, tag)
            rows, search = range(min(len(rows), len(part))), dataclasses.replace(GREEDY, prefix=tag)
            captions = [part.captions[row] for row in rows]
        found = self._found(params, self._pixels(part, rows), search)
        pairs = zip(found.tokens, found.counts, strict=True)
        outputs = [self._text(tokens[0], counts[0]) for tokens, counts in pairs]
        return {"exact_match": any_exact(outputs, captions), "cider": cider(outputs, captions)}

    def evaluate(self, params: Params, folder: Path) -> Evaluation:
        """Returns a table over the test parts, samples, and pictures of what words looked at.

        Each part has a row in which the trained model sees grey in the place of images.
        """
        tests = {name: part for name, part in self._parts.items() if name not in (TRAIN, VALIDATION)}
        rows = {name: (part, self.search.prefix) for name, part in tests.items()}
        if self.texts.tags:
            asked = [(name, tag) for name in tests for tag in self.texts.tags]
            rows = {f"{name} {tag}": (in_language(tests[name], tag), tag) for name, tag in asked}
            rows = {name: row for name, row in rows.items() if len(row[0])}
        return evaluated(
            rows,
            images=lambda part, rows: self._pixels(part, rows),
            write=lambda images, beginning: self._written(
                params,
                [GivenImage(image) for image in images],
                dataclasses.replace(self.search, prefix=beginning),
            ),
            pointing=lambda part: self.pointing(params, part),
            folder=folder,
        )

    def pointing(self, params: Params, part: Pictures) -> list[Pointed]:
        """Returns the pointing game of each image's first caption, fed back; nothing without regions."""
        if part.owner is None:
            return []
        rows = range(min(POINTED, len(part)))
        targets = self.texts.arrays([part.captions[row][0] for row in rows])
        arrays = {**self._sources(of_unit(self._pixels(part, rows))), "tokens": targets[:, 1:]}
        looks = self.infer(_looks, params, arrays)
        found: list[Pointed] = []
        for row, weights, tokens in zip(rows, looks, targets, strict=True):
            pieces = self.texts.tokenizer.names(tokens[tokens > EOS].tolist())
            words, seen = part.captions[row][0].split(), by_word(weights[: len(pieces)], pieces)
            found += points(words, seen, part.regions[row], part.owner[row], self.config.patch)
        return found

    def save(self, folder: Path) -> None:
        """Writes the tokenizer and the width of the arrays."""
        self.texts.save(folder)

    @cached_property
    def validation(self) -> Arrays:
        """The examples of `validate` as arrays, with the first caption of each image."""
        part = self._parts[VALIDATION]
        texts = [part.captions[row][0] for row in self._validated]
        images = of_unit(self._pixels(part, self._validated))
        return {**self._sources(images), "target": self.texts.arrays(texts)}

    @cached_property
    def _read(self) -> tuple[dict[str, Pictures], list[str]]:
        return (drawn_pictures(self.data), []) if self.data.captions is None else own_pictures(self.data)

    @property
    def _parts(self) -> dict[str, Pictures]:
        return self._read[0]

    @property
    def _validated(self) -> range:
        return range(min(VALIDATION_EXAMPLES, len(self._parts[VALIDATION])))

    @cached_property
    def _batches(self) -> Batches:
        return Batches({"row": np.arange(len(self._parts[TRAIN]))}, self._batch_size, self.data.seed)


def _looks(model: AnyCaptioner, arrays: Mapping[str, jax.Array]) -> Float[Array, "B L P"]:
    """Returns the weights of captions that are fed back."""
    tokens = arrays["tokens"]
    counts = (tokens != PAD).sum(axis=1)
    forced = force(model, arrays["source"], arrays["source_lengths"], tokens, counts=counts, bos=BOS)
    assert forced.alignment is not None
    return forced.alignment


def _of_scenes(config: CaptionerConfig, data: CaptionData) -> CaptionerConfig:
    """Returns the config with the side and channels of drawn scenes."""
    return dataclasses.replace(config, image=SIDE, channels=1 if data.kind == "digits" else 3)
