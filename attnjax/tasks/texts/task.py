"""Labels of texts: an encoder, from a pretrained folder or from scratch, with a head over one vector."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from attnjax.config import require
from attnjax.data.pipeline import Batches
from attnjax.data.text.labelled import Labelled, as_numbers, class_names, labelled_parts
from attnjax.data.text.labelled_config import LabelledData
from attnjax.data.text.tokenizer import MASK
from attnjax.experiment.serialize import encode
from attnjax.models.decoding.text import TextModel
from attnjax.models.encoder import Encoder
from attnjax.models.encoder_config import EncoderConfig
from attnjax.models.sentences import SentenceEncoder, shapes_of
from attnjax.nn.dropout import Dropout
from attnjax.tasks.base import Arrays, Evaluation, Hyperparameters, LossAndMetrics, Params
from attnjax.tasks.losses import of_labels
from attnjax.tasks.model_task import ModelTask, require_positions
from attnjax.tasks.texts.account import Account, Asked
from attnjax.tasks.texts.baselines import text_baselines
from attnjax.tasks.texts.label import Label
from attnjax.tasks.texts.masked import masked
from attnjax.tasks.texts.scores import numbers_score, shares_score
from attnjax.tasks.texts.start import LABELS, TOKENIZER, sentence_marks, text_start

COMPARED = 1000
"""Texts of training that are scored too, to see how much better they are known than others."""
WIDTHS = 8
"""Tokens. The width of a batch is a multiple of it."""


class TextTask(ModelTask[Encoder]):
    """Trains an `Encoder` to say a text's label: a class, by cross-entropy, or a number, by square error.

    Args:
      data: the texts.
      model: the shape of a model that is made from scratch. Of one that comes from elsewhere only `pooling`,
        `dtype`, `param_dtype`, `implementation`, `remat`, `remat_keeps` and `scan_layers` count.
      batch_size: of all hosts together.
      source: the folder of a pretrained model, or of a run of this task, for the shape and the tokenizer.
      folder: of a trained run, which has them itself.
      account: adds rows to the final table of classes, such as the faithfulness of attributions.

    Raises:
      InputError: the data or the source cannot be used.
    """

    fresh: ClassVar[Sequence[str]] = ("head.*",)
    unused: ClassVar[Sequence[str]] = ("pooler.*", "head.*", "pair.*")

    def __init__(
        self,
        data: LabelledData,
        model: EncoderConfig,
        *,
        batch_size: int,
        source: Path | None = None,
        folder: Path | None = None,
        account: Asked | None = None,
    ) -> None:
        self._data, self._batch_size, self._account = data, batch_size, account
        saved = folder if folder is not None and (folder / LABELS).is_file() else None
        start = text_start(data, model, saved or source, lambda: self._parts["train"].texts)
        record = {} if saved is None else json.loads((saved / LABELS).read_text(encoding="utf-8"))
        self._classes = data.labels == "classes"
        if record:
            self.names, self._center = record["names"], (record["mean"], record["scale"])
        elif self._classes:
            self.names, self._center = class_names(self._parts), (0.0, 1.0)
        else:
            numbers = {name: as_numbers(name, part) for name, part in self._parts.items()}["train"]
            require(
                float(numbers.std()) > 0, f"data.train has the number {numbers[0]} alone: expected others"
            )
            self.names, self._center = [], (float(numbers.mean()), float(numbers.std()))
        self.config = replace(
            start.config,
            head="labels",
            labels=len(self.names) if self._classes else 1,
            head_activation=None,
            pair_head=False,
            pooling=model.pooling,
            pooler=start.config.pooler if model.pooling == "first" else None,
            dtype=model.dtype,
            param_dtype=model.param_dtype,
            implementation=model.implementation,
            remat=model.remat,
            remat_keeps=model.remat_keeps,
            scan_layers=model.scan_layers,
        )
        self.vocab, self._tokenizer = start.vocab, start.tokenizer
        require_positions(self.config, data.max_length, "the texts")
        self._mask = self._tokenizer.id(MASK)
        require(
            data.masked == 0 or self._mask is not None,
            f"data.masked is {data.masked}: the tokenizer has no token {MASK}",
        )

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]:
        """The share of right classes, or the correlation with the numbers."""
        return ("right" if self._classes else "correlation"), "max"

    @property
    def notes(self) -> list[str]:
        """The number of texts, and of those that are cut off."""
        counts = ", ".join(f"{len(part.texts)} for {name}" for name, part in self._parts.items())
        most = self._data.max_length
        cut = sum(len(ids) > most for ids in self._tokenizer.rows(self._parts["train"].texts, most + 1))
        of = f"; {cut} of the first are cut off at {most} tokens" if cut else ""
        return [f"texts: {counts}{of}"]

    def build(self, rngs: nnx.Rngs) -> Encoder:
        """Returns an encoder of the tokenizer's vocabulary with a head of the labels."""
        sentences = sentence_marks(self._tokenizer) if self.config.pools_sentences else None
        return Encoder(self.config, vocab=self.vocab, sentences=sentences, rngs=rngs)

    def batch(self, step: int) -> Arrays:
        """Returns this host's "tokens" [B, T], "lengths" [B] and "labels" [B] of a step."""
        batch = self._batches[step]
        if not self._data.masked or self._mask is None:
            return batch
        rng = np.random.default_rng([self._data.seed, 23, step])
        return masked(batch, self._data.masked, self._mask, self._tokenizer.marks, self._batch_size, rng)

    def loss_of(
        self,
        model: Encoder,
        batch: Mapping[str, jax.Array],
        *,
        dropout: Dropout | None,
        hyper: Hyperparameters,
    ) -> LossAndMetrics:
        """Returns the cross-entropy of classes, or the square error of numbers in standard deviations."""
        output = model(batch["tokens"], lengths=batch["lengths"], dropout=dropout)
        assert output.logits is not None
        if self._classes:
            return of_labels(output.logits, batch["labels"])
        mean, scale = self._center
        loss = jnp.mean((output.logits[:, 0] - (batch["labels"] - mean) / scale) ** 2)
        return loss, {"loss": loss, "weight": jnp.float32(batch["labels"].shape[0])}

    def validate(self, params: Params) -> dict[str, float]:
        """Returns the scores of classes, or correlation and root mean square error of numbers."""
        scores = self._scores(params, "validation")
        return {name.removesuffix(" %").replace(" ", "_"): value for name, value in scores.items()}

    def evaluate(self, params: Params, folder: Path) -> Evaluation:
        """Returns rows of the held-out parts, with training and the gap to it, and of simple baselines.

        Of classes there is a picture of their calibration.
        """
        rows: dict[str, dict[str, float]] = {}
        known = self._scores(params, "train", COMPARED)
        for part in ("validation", "test"):
            scores = self._scores(params, part)
            first = next(iter(scores))
            gap = known[first] - scores[first]
            rows[part] = {**scores, f"training {first}": known[first], "gap": gap}
        texts = {name: part.texts for name, part in self._parts.items()}
        labels = {name: self._labels(name) for name in texts}
        baselines = text_baselines(texts, labels, classes=self._classes)
        rows |= {name: self._score(labels["test"], given) for name, given in baselines.items()}
        if not self._classes:
            return Evaluation(rows, self._samples(params))
        shares = {"the model": softmax(self._logits(params, self._ids("test")))}
        shares |= dict(list(baselines.items())[1:])
        found = Account({})
        if self._account is not None:
            found = self._account(self.model(params), self._arrays("test"), self._tokenizer)
        figures = found.pictures(shares, labels["test"], folder)
        return Evaluation(rows | found.table(), self._samples(params), figures=figures)

    def read_input(self, text: str) -> str:
        """Returns the text."""
        return text

    def predict(self, params: Params, inputs: Sequence[str]) -> list[Label]:
        """Returns the label of each text."""
        logits = self._logits(params, self._tokenizer.rows(inputs, self._data.max_length))
        if not self._classes:
            return [Label(f"{number:.4g}", {}) for number in self._numbers(logits)]
        return [
            Label(self.names[int(row.argmax())], dict(zip(self.names, map(float, row), strict=True)))
            for row in softmax(logits)
        ]

    def reader(self, params: Params) -> TextModel:
        """Returns the encoder with the way from a text to its tokens, and to their names."""
        model: Any = self.model(params)
        names, most = self._tokenizer.names, self._data.max_length
        encode = lambda text: self._tokenizer.rows([text], most)[0]  # noqa: E731
        return TextModel(model, encode, self._tokenizer.decode, eos=(), names=names)

    def sentence_encoder(self, params: Params) -> SentenceEncoder:
        """Returns the encoder that gives the vector which the head reads."""
        most = self._data.max_length
        return SentenceEncoder(self.model(params), lambda texts: self._tokenizer.rows(texts, most))

    def save(self, folder: Path) -> None:
        """Writes the tokenizer, and labels.json with the shape of the model and the labels."""
        mean, scale = self._center
        record = {"config": encode(self.config), "vocab": self.vocab, "names": self.names}
        record |= {"mean": mean, "scale": scale}
        (folder / LABELS).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        self._tokenizer.save(folder / TOKENIZER)

    @cached_property
    def validation(self) -> Arrays:
        """The held-out texts of `validate`."""
        return self._arrays("validation")

    @cached_property
    def _parts(self) -> dict[str, Labelled]:
        return labelled_parts(self._data)

    @cached_property
    def _batches(self) -> Batches:
        return Batches(self._arrays("train"), self._batch_size, self._data.seed)

    def _ids(self, part: str) -> list[list[int]]:
        return self._tokenizer.rows(self._parts[part].texts, self._data.max_length)

    def _labels(self, part: str) -> np.ndarray:
        if not self._classes:
            return as_numbers(part, self._parts[part])
        places = {name: i for i, name in enumerate(self.names)}
        return np.array([places[label] for label in self._parts[part].labels], np.int32)

    def _arrays(self, part: str) -> Arrays:
        ids = self._ids(part)
        lengths = np.array([len(own) for own in ids], np.int32)
        tokens = np.zeros((len(ids), -(-int(lengths.max()) // WIDTHS) * WIDTHS), np.int32)
        for row, own in zip(tokens, ids, strict=True):
            row[: len(own)] = own
        return {"tokens": tokens, "lengths": lengths, "labels": self._labels(part)}

    def _scores(self, params: Params, part: str, most: int | None = None) -> dict[str, float]:
        ids, labels = self._ids(part), self._labels(part)
        if most is not None and len(ids) > most:  # From all over the file, which may be sorted.
            places = np.linspace(0, len(ids) - 1, most).astype(int)
            ids, labels = [ids[place] for place in places], labels[places]
        logits = self._logits(params, ids)
        return self._score(labels, softmax(logits) if self._classes else self._numbers(logits))

    def _score(self, labels: np.ndarray, given: np.ndarray) -> dict[str, float]:
        return shares_score(labels, given) if self._classes else numbers_score(labels, given)

    def _numbers(self, logits: np.ndarray) -> np.ndarray:
        mean, scale = self._center
        return logits[:, 0].astype(np.float64) * scale + mean

    def _logits(self, params: Params, ids: Sequence[Sequence[int]]) -> np.ndarray:
        """Returns the logits of each text, computed with texts of its length."""
        longest = self.config.max_length if self.config.positions == "learned" else None
        found = np.zeros((len(ids), self.config.labels), np.float32)
        groups: dict[int, list[int]] = {}
        for places, width in shapes_of([len(own) for own in ids], longest):
            groups.setdefault(width, []).extend(places)
        for width, places in groups.items():
            tokens = np.zeros((len(places), width), np.int32)
            for row, place in zip(tokens, places, strict=True):
                row[: len(ids[place])] = ids[place]
            lengths = np.array([len(ids[place]) for place in places], np.int32)
            found[places] = self.infer(logits_of, params, {"tokens": tokens, "lengths": lengths})
        return found

    def _samples(self, params: Params) -> list[dict[str, str]]:
        rows = self._parts["test"].rows()[:2]
        answers = self.predict(params, [row.text for row in rows])
        return [
            {"text": row.text, "given": answer.text, "label": row.label}
            for row, answer in zip(rows, answers, strict=True)
        ]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns the probabilities of classes."""
    return np.asarray(jax.nn.softmax(logits.astype(np.float32), axis=-1))


def logits_of(model: Encoder, arrays: Mapping[str, jax.Array]) -> jax.Array:
    """Returns the logits of texts [B, L]."""
    logits = model(arrays["tokens"], lengths=arrays["lengths"]).logits
    assert logits is not None
    return logits
