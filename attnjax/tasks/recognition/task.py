"""Recognition: the label of an image, by an encoder of images, beside a support vector machine."""

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
from attnjax.data.hosts import host_share
from attnjax.data.images.augment import augmented, mixed
from attnjax.data.images.config import RecognitionData
from attnjax.data.images.files import read_image
from attnjax.data.images.pictures import normalised, of_unit
from attnjax.data.images.recognition import Parts, recognition_parts
from attnjax.data.pipeline import Batches
from attnjax.data.scikit_learn import svc_labels
from attnjax.models.recogniser import Recogniser
from attnjax.models.swin import SwinTransformer
from attnjax.models.swin_config import SwinConfig
from attnjax.models.vision import VisionTransformer
from attnjax.models.vision_config import VisionConfig
from attnjax.nn import Capture
from attnjax.nn.dropout import Dropout
from attnjax.tasks.base import Arrays, Evaluation, Hyperparameters, LossAndMetrics, Params
from attnjax.tasks.captioning.caption import Caption, overlays
from attnjax.tasks.config import CROSS_ENTROPY, CrossEntropyConfig
from attnjax.tasks.model_task import ModelTask
from attnjax.tasks.pictures import save
from attnjax.tasks.texts.label import Label
from attnjax.tasks.texts.scores import classes_score

SVC_MOST = 10_000
"""Images on which the support vector machine is trained at most: its time grows with their square."""
DRAWN = 6
SAMPLES = 12


ImageEncoder = VisionTransformer | SwinTransformer


class Recognised(NamedTuple):
    """The output for images.

    Attributes:
      logits: [B, L], of the labels.
      looks: [B, P], the weights of patches in the last layer; None where it has none.
    """

    logits: Any
    looks: Any


class RecognitionTask(ModelTask[ImageEncoder]):
    """Tells the label of images with a `VisionTransformer`, over patches or convolutions, or with Swin.

    Args:
      data: the images and labels.
      config: the model's shape; side, channels and labels are those of the data.
      loss: the loss's settings.
      batch_size: of all hosts together.

    Raises:
      InputError: the data cannot be used, or patches do not divide its images.

    References:
      Dosovitskiy et al., An Image is Worth 16x16 Words, 2020, arXiv:2010.11929.
    """

    fresh = ("head.*",)

    def __init__(
        self,
        data: RecognitionData,
        config: VisionConfig | SwinConfig,
        *,
        loss: CrossEntropyConfig = CROSS_ENTROPY,
        batch_size: int,
    ) -> None:
        self._data, self._loss, self._batch_size = data, loss, batch_size
        self.parts: Parts = recognition_parts(data)
        train = self.parts["train"]
        height, width, channels = train.images.shape[1:]
        require(height == width, f"data: images of {height} × {width} pixels, expected squares")
        self.names = train.names
        sizes = {"image": height, "channels": channels, "labels": len(self.names)}
        self.config: VisionConfig | SwinConfig = dataclasses.replace(config, **sizes)

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]:
        """The share of right labels."""
        return "right", "max"

    @property
    def notes(self) -> list[str]:
        """Lines on the sizes of what was read, and on images that were left out."""
        sizes = ", ".join(f"{len(part.labels)} {name}" for name, part in self.parts.items())
        side, channels = self.config.image, self.config.channels
        line = f"images of {side} × {side} pixels and {channels} channels: {sizes}; {len(self.names)} labels"
        # Parts that are cut from one folder have the notes of all of it.
        return [line, *dict.fromkeys(note for part in self.parts.values() for note in part.notes)]

    def build(self, rngs: nnx.Rngs) -> ImageEncoder:
        """Returns an encoder of images with a head of the labels."""
        config = self.config
        made = SwinTransformer if isinstance(config, SwinConfig) else VisionTransformer
        return made(config, rngs=rngs)  # type: ignore[arg-type]

    def batch(self, step: int) -> Arrays:
        """Returns this host's "images" and "labels" [B, L], shares that sum to 1, of a step."""
        data, train, size = self._data, self.parts["train"], self._batch_size
        rows = self._batches[step]["row"]

        def made(places: np.ndarray) -> Arrays:
            images = of_unit(train.images[rows[places]])
            images = augmented(images, data.augment, data.seed, step, places, size)
            return {"images": normalised(images), "labels": self._one_hot(train.labels[rows[places]])}

        return mixed(made, host_share(np.arange(size)), size, data.mixup, data.seed, step)

    def loss_of(
        self,
        model: ImageEncoder,
        batch: Mapping[str, jax.Array],
        *,
        dropout: Dropout | None,
        hyper: Hyperparameters,
    ) -> LossAndMetrics:
        """Returns the mean of -Σ_y p(y) log q(y), where p is smoothed by ε: (1-ε)·label + ε/L."""
        smoothing = hyper.get("label_smoothing", self._loss.label_smoothing)
        labels = batch["labels"]
        logits = model(batch["images"], dropout=dropout).logits
        assert logits is not None
        log_q = jax.nn.log_softmax(logits.astype(jnp.float32))
        target = (1 - smoothing) * labels + smoothing / labels.shape[-1]
        loss = -(target * log_q).sum(-1).mean()
        right = (logits.argmax(-1) == labels.argmax(-1)).mean()
        return loss, {"loss": loss, "right": right, "weight": jnp.float32(len(labels))}

    def validate(self, params: Params) -> dict[str, float]:
        """Returns the percentage of right labels of the validation images."""
        part = self.parts["validation"]
        given = self._seen(params, part.images).logits.argmax(-1)
        return {"right": classes_score(part.labels, given)["right %"]}

    def evaluate(self, params: Params, folder: Path) -> Evaluation:
        """Returns a table with the baselines, samples, and a picture of where the last layer looks."""
        train, test = self.parts["train"], self.parts["test"]
        seen = self._seen(params, test.images)
        given = seen.logits.argmax(-1)
        common = np.full_like(test.labels, np.bincount(train.labels).argmax())
        few = dataclasses.replace(train, images=train.images[:SVC_MOST], labels=train.labels[:SVC_MOST])
        baseline = svc_labels(few, test)
        rows: dict[str, np.ndarray] = {"model": given, "the commonest label": common}
        if baseline is not None:
            rows[f"SVC of {len(few.labels)} images"] = baseline
        metrics = {
            name: classes_score(test.labels, labels) | {"examples": len(labels)}
            for name, labels in rows.items()
        }
        wrong = np.flatnonzero(given != test.labels)[:SAMPLES]
        samples = [
            {"row": str(row), "label": self.names[given[row]], "right one": self.names[test.labels[row]]}
            for row in wrong
        ]
        if seen.looks is None:
            return Evaluation(metrics, samples)
        figure = folder / "looks.png"
        save(self._picture(test.images[:DRAWN], given, seen.looks), figure)
        return Evaluation(metrics, samples, [figure])

    def read_input(self, text: str) -> UInt8[np.ndarray, "Y X C"]:
        """Returns the image in a file. Raises InputError where it is none."""
        return read_image(Path(text), self.config.image, self.config.channels)

    def predict(self, params: Params, inputs: Sequence[np.ndarray]) -> list[Label]:
        """Returns the likeliest label of each image, with the probabilities of all."""
        logits = self._seen(params, np.stack(inputs)).logits.astype(np.float64)
        shares = np.exp(logits - logits.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        return [
            Label(self.names[int(row.argmax())], dict(zip(self.names, row.tolist(), strict=True)))
            for row in shares
        ]

    def recogniser(self, params: Params) -> Recogniser:
        """Returns the encoder with the way from an image file to its input, and the names of the labels."""
        prepare = lambda pixels: normalised(of_unit(pixels))  # noqa: E731
        return Recogniser(self.model(params), self.read_input, prepare, self.names)

    @cached_property
    def validation(self) -> Arrays:
        """The validation images and their labels."""
        part = self.parts["validation"]
        return {"images": normalised(of_unit(part.images)), "labels": self._one_hot(part.labels)}

    @cached_property
    def _batches(self) -> Batches:
        rows = np.arange(len(self.parts["train"].labels))
        return Batches({"row": rows}, self._batch_size, self._data.seed, whole=True)

    def _one_hot(self, labels: np.ndarray) -> np.ndarray:
        return np.eye(len(self.names), dtype=np.float32)[labels]

    def _seen(self, params: Params, images: UInt8[np.ndarray, "B Y X C"]) -> Recognised:
        seen: Recognised = self.infer(_recognised, params, {"images": normalised(of_unit(images))})
        return seen

    def _picture(self, images: np.ndarray, given: np.ndarray, looks: np.ndarray) -> Any:
        """Returns a figure of images under the weights of the last layer."""
        assert isinstance(self.config, VisionConfig)
        side = self.config.image // self.config.patch
        last, heads = self.config.layers, self.config.heads
        source = f"attention of layer {last} of {last}, the mean of its {heads} heads"
        shown = [
            Caption(
                self.names[label], image, ["where it looks"], look.reshape(1, side, side), weights_of=source
            )
            for image, label, look in zip(images, given, looks, strict=False)
        ]
        return overlays(shown, [one.text for one in shown], "Where it looks", columns=2)


def _recognised(model: ImageEncoder, arrays: Mapping[str, jax.Array]) -> Recognised:
    """Returns logits, and the weights of patches: those of the class token, or the mean over patches.

    Windows see a part of an image each, so that Swin's say nothing of all of it.
    """
    config = model.config
    last = config.layers - 1 if isinstance(config, VisionConfig) else -1
    weighs = last >= 0 and getattr(model.blocks[last].attention, "has_weights", False)
    output = model(arrays["images"], capture=Capture(layers=(last,)) if weighs else None)
    assert output.logits is not None
    weights = output.weights.get(f"blocks.{last}.attention")
    if weights is None or not isinstance(config, VisionConfig):
        return Recognised(output.logits, None)
    first = int(config.class_token) + config.registers
    rows = weights[:, :, :1] if config.pooling == "class" else weights[:, :, first:]
    return Recognised(output.logits, rows.mean((1, 2))[:, first:])
