"""Detection: the objects of an image and their boxes by a DETR, beside convolutions that answer in a grid."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import UInt8

from attnjax.config import require
from attnjax.data.images.canvases import HELD_OUT, Canvases, arrays_of
from attnjax.data.images.config import DetectionData
from attnjax.data.images.files import read_image
from attnjax.data.images.objects import Objects
from attnjax.data.images.pictures import normalised, of_unit
from attnjax.models.detr import Detr
from attnjax.models.detr_config import DetrConfig
from attnjax.nn.attention.capture import Capture
from attnjax.nn.dropout import Dropout
from attnjax.nn.taps import Taps
from attnjax.tasks.base import Arrays, Evaluation, Hyperparameters, LossAndMetrics, Params
from attnjax.tasks.detection.answers import boxes_of, mean_boxes, scores_of, suppressed
from attnjax.tasks.detection.boxes import corners
from attnjax.tasks.detection.config import SetLossConfig
from attnjax.tasks.detection.found import FoundObject, FoundObjects, objects_figure
from attnjax.tasks.detection.grid import GridDetector, trained_grid
from attnjax.tasks.detection.looks import HIDDEN_CELLS, cell_shares, cells_showing, hidden, looks_score
from attnjax.tasks.detection.losses import TrueObjects, matched, set_loss
from attnjax.tasks.model_task import ModelTask

SHOWN_FROM = 0.5
"""The least score of an object that an answer has."""
EXPLAINED = 512
"""Objects of the test that attention is measured on."""
DRAWN = 3
PICTURE = "attention.png"


class SetAnswers(NamedTuple):
    """The answers of a model to images.

    Attributes:
      logits: of the labels [B, Q, L+1].
      boxes: by centre and size [B, Q, 4].
      weights: of the queries over the cells, the mean over heads of each layer [B, D, Q, P].
    """

    logits: Any
    boxes: Any
    weights: Any


class SqueezedImage(NamedTuple):
    """An image file as it is read: squeezed into a square."""

    pixels: UInt8[np.ndarray, "Y X C"]
    sides: tuple[int, int]
    name: str


class DetectionTask(ModelTask[Detr]):
    """Trains a `Detr` to find the objects of images: a set of labels and boxes, one from each query at most.

    The loss compares each true object with the query that is matched to it; the other queries should say that
    there is nothing. Each layer of the decoder answers and is matched by itself.

    Args:
      data: the images.
      model: the shape of the model; the labels are those of the data.
      loss: the weights of its parts.
      baseline_steps: of the training of the grid of convolutions that the table has too; 0: it has none.
      batch_size: images, of all hosts together.

    Raises:
      InputError: a file cannot be used, or an image has more objects than the model has queries.

    References:
      Carion et al., End-to-End Object Detection with Transformers, 2020, arXiv:2005.12872.
    """

    fresh = ("head.*", "queries")

    def __init__(
        self,
        data: DetectionData,
        model: DetrConfig,
        *,
        loss: SetLossConfig | None = None,
        baseline_steps: int = 0,
        batch_size: int,
    ) -> None:
        self._data, self._loss, self._baseline_steps = data, loss or SetLossConfig(), baseline_steps
        self.canvases = Canvases(data, batch_size=batch_size)
        self.config = dataclasses.replace(model, labels=len(self.canvases.names))
        require(
            model.queries >= self.canvases.most,
            f"model.queries is {model.queries}: an image has {self.canvases.most} objects, expected as many "
            "queries or more",
        )
        require(
            model.backbone.channels == 3, f"model.backbone.channels is {model.backbone.channels}: expected 3"
        )

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]:
        """The average precision of COCO."""
        return "AP", "max"

    @property
    def notes(self) -> list[str]:
        """Lines on what was read of one's own images, and on what was left out."""
        return self.canvases.notes

    def build(self, rngs: nnx.Rngs) -> Detr:
        """Returns a detector of the labels of the data."""
        return Detr(self.config, rngs=rngs)

    def batch(self, step: int) -> Arrays:
        """Returns this host's "images", "labels", "boxes" and "present" of a step."""
        return self.canvases.batch(step)

    def loss_of(
        self,
        model: Detr,
        batch: Mapping[str, jax.Array],
        *,
        dropout: Dropout | None,
        hyper: Hyperparameters,
    ) -> LossAndMetrics:
        """Returns the sum over layers of the loss of the set, a mean over images; the last layer's parts."""
        truth = TrueObjects(batch["labels"], batch["boxes"], batch["present"])
        layers = (
            range(self.config.decoder_layers) if self._loss.every_layer else [self.config.decoder_layers - 1]
        )
        output = model(batch["images"], dropout=dropout, capture=Taps(read="decoder.*.residual"))
        total = jnp.float32(0)
        for layer in layers:
            states = model.decoder_norm(output.taps[f"decoder.{layer}.residual"])
            logits, boxes = model.answers(states)
            queries = matched(logits, boxes, truth, self._loss)
            parts = set_loss(logits, boxes, truth, queries, self._loss)
            total += parts.total(self._loss)
        weight = jnp.float32(len(truth.labels))
        return total, {"loss": total, **parts._asdict(), "weight": weight}

    def validate(self, params: Params) -> dict[str, float]:
        """Returns the average precision of the validation images."""
        scores = self._score(params, self.canvases.validation)
        return {"AP": scores["AP"], "AP50": scores["AP50"]}

    def evaluate(self, params: Params, folder: Path) -> Evaluation:
        """Returns rows of the model and of what has no attention, and of what its queries attend to.

        The picture shows the queries of a few images over them.
        """
        tests = self.canvases.tests
        rows = {f"model: {name}": self._score(params, part) for name, part in tests.items()}
        grid = self._grid() if self._baseline_steps else None
        for name, part in tests.items():
            if grid is not None:
                rows[f"grid of convolutions: {name}"] = self._grid_score(grid, part)
        always = mean_boxes(self.canvases.batch(0), len(tests[HELD_OUT].images))
        rows[f"the mean box of each label: {HELD_OUT}"] = scores_of(always, tests[HELD_OUT])
        rows |= self._looks(params, tests[HELD_OUT])
        figure = folder / PICTURE
        self._save_picture(params, tests[HELD_OUT], figure)
        return Evaluation(rows, figures=[figure])

    def read_input(self, text: str) -> SqueezedImage:
        """Returns the image in a file. Raises InputError where it is none."""
        path = Path(text)
        whole = read_image(path)
        return SqueezedImage(read_image(path, self._data.side, whole=True), whole.shape[:2], path.stem)

    def predict(self, params: Params, inputs: Sequence[SqueezedImage]) -> list[FoundObjects]:
        """Returns the objects of each image whose score is a half or more."""
        seen = self._seen(params, np.stack([one.pixels for one in inputs]))
        return [self._found(one, seen, row) for row, one in enumerate(inputs)]

    @cached_property
    def validation(self) -> Arrays:
        """The images of `validate`, as training has them."""
        return arrays_of(self.canvases.validation)

    @property
    def _sides(self) -> tuple[int, int]:
        """Rows and columns of the cells that queries attend to."""
        stages = len(self.config.backbone.widths)
        side = self._data.side
        for _ in range(stages + 1):
            side = -(-side // 2)
        return side, side

    def _seen(self, params: Params, images: UInt8[np.ndarray, "B Y X C"]) -> SetAnswers:
        return self._looked(params, normalised(of_unit(images)))

    def _looked(self, params: Params, images: np.ndarray) -> SetAnswers:
        found: SetAnswers = self.infer(_seen, params, {"images": images})
        return found

    def _score(self, params: Params, part: Objects) -> dict[str, float]:
        seen = self._seen(params, part.images)
        return scores_of(boxes_of(seen.logits, seen.boxes), part)

    def _grid(self) -> tuple[GridDetector, Params]:
        backbone, labels = self.config.backbone, self.config.labels
        model = GridDetector(backbone, self.config.dim, labels, rngs=nnx.Rngs(self._data.seed))
        side = self._sides[0]
        return model, trained_grid(model, self.batch, self._baseline_steps, side, self._loss)

    def _grid_score(self, grid: tuple[GridDetector, Params], part: Objects) -> dict[str, float]:
        graphdef, _ = nnx.split(grid[0], nnx.Param)
        seen = jax.jit(lambda params, images: nnx.merge(graphdef, params)(images))
        logits, boxes = jax.device_get(seen(grid[1], normalised(of_unit(part.images))))
        found = [suppressed(one) for one in boxes_of(logits, boxes)]
        return scores_of(found, part)

    def _looks(self, params: Params, part: Objects) -> dict[str, dict[str, float]]:
        """Returns rows of what matched queries attend to, and of what hiding it does to their answers."""
        seen = self._seen(params, part.images)
        truth = TrueObjects(*map(jnp.asarray, (part.labels, part.boxes, part.present)))
        queries = np.asarray(_matched(seen.logits, seen.boxes, truth, self._loss))
        images, places = (found[:EXPLAINED] for found in np.nonzero(part.present))
        chosen, labels = queries[images, places], part.labels[images, places]
        right = corners(part.boxes[images, places])
        weights, sides = seen.weights[images, :, chosen], self._sides
        shares = cell_shares(right, *sides)
        showing = cells_showing(part.owner[images] == places[:, None, None] + 1, *sides)
        rows = {
            f"attention of layer {layer}": looks_score(weights[:, layer], shares, showing)
            for layer in range(weights.shape[1])
        }
        pixels = normalised(of_unit(part.images))[images]
        before = _probability(seen, images, chosen, labels)
        rng = np.random.default_rng(self._data.seed)
        scores = {
            f"attention of layer {weights.shape[1] - 1}": weights[:, -1],
            "cells of the true box": shares,
            "random cells": rng.random(weights[:, -1].shape),
        }
        each = np.arange(len(images))
        for name, own in scores.items():
            after = self._looked(params, hidden(pixels, own, *sides))
            fall = 100 * float((before - _probability(after, each, chosen, labels)).mean())
            rows.setdefault(name, {})[f"points lost without {HIDDEN_CELLS} cells"] = fall
        return rows

    def _found(self, image: SqueezedImage, seen: SetAnswers, row: int) -> FoundObjects:
        own = boxes_of(seen.logits[row : row + 1], seen.boxes[row : row + 1])[0]
        shown = [query for query in np.argsort(-own.scores) if own.scores[query] >= SHOWN_FROM]
        objects = tuple(
            FoundObject(
                self.canvases.names[own.labels[query]],
                float(own.scores[query]),
                tuple(np.clip(own.boxes[query], 0, 1).tolist()),
                seen.weights[row, -1, query].reshape(self._sides),
            )
            for query in shown
        )
        last, heads = self.config.decoder_layers, self.config.heads
        source = f"attention to the image in layer {last} of {last}, the mean of its {heads} heads"
        return FoundObjects(image.pixels, image.sides, objects, image.name, source)

    def _save_picture(self, params: Params, part: Objects, path: Path) -> None:
        from attnjax.tasks.pictures import save

        # The first ones in which there is something to find.
        rows = np.argsort(~part.present.any(axis=1), kind="stable")[:DRAWN]
        given = [SqueezedImage(part.images[i], part.images[i].shape[:2], f"image {i + 1}") for i in rows]
        answers = self.predict(params, given)
        save(objects_figure(answers, [one.name for one in answers]), path)


def _seen(model: Detr, arrays: Mapping[str, jax.Array]) -> SetAnswers:
    output = model(arrays["images"], capture=Capture())
    layers = range(model.config.decoder_layers)
    weights = [output.weights[f"decoder.{layer}.cross_attention"].mean(1) for layer in layers]
    return SetAnswers(output.logits, output.boxes, jnp.stack(weights, axis=1))


_matched = jax.jit(matched, static_argnums=3)


def _probability(seen: SetAnswers, rows: np.ndarray, queries: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the probability that a query of a row gives to a label."""
    logits = seen.logits[rows, queries].astype(np.float64)
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    own: np.ndarray = shares[np.arange(len(rows)), labels] / shares.sum(-1)
    return own
