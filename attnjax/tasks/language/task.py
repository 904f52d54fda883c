"""Language modelling of documents: bits per byte, beside n-grams, at lengths beyond those of training."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from attnjax.config import require
from attnjax.data.synthetic.library_bytes import byte_word
from attnjax.data.text.documents import Documents, document_parts, of_bytes, of_tokens
from attnjax.data.text.documents_config import LONGEST, DocumentsData
from attnjax.data.text.packed import Packed
from attnjax.data.text.tokenizer import PretrainedTokenizer
from attnjax.experiment.identity import content_hash
from attnjax.models.config import LanguageModelConfig
from attnjax.models.decoding.text import TextModel
from attnjax.models.language_model import LanguageModel
from attnjax.nn.dropout import Dropout
from attnjax.tasks.base import Arrays, Evaluation, Hyperparameters, LossAndMetrics, Params
from attnjax.tasks.config import CROSS_ENTROPY, CrossEntropyConfig
from attnjax.tasks.inference import most_positions, padded
from attnjax.tasks.language.continuation import Continuation
from attnjax.tasks.language.kneser_ney import KneserNey
from attnjax.tasks.losses import smoothed_cross_entropy
from attnjax.tasks.model_task import ModelTask, require_positions

BITS = "bits per byte"
BEYOND = "beyond the trained length"
BYTES = 256
VALIDATED = 128
"""Rows of validation at most."""
CONTINUED = 48
"""Tokens that `predict` and the samples write."""
PROMPT = 32
"""Tokens of a sample that are given."""
TOKENIZER = "tokenizer.json"
PICTURE = "places.png"
Account = Callable[[LanguageModel, Arrays], Mapping[str, Mapping[str, float]]]
"""A function from the trained model and rows of the test to further rows of the table."""


class LanguageTask(ModelTask[LanguageModel]):
    """Trains a `LanguageModel` to predict each next token of documents, of which whole files are held out.

    Rows hold documents one after the other, and a token sees none of another document. Bits per byte are the
    mean bits of a token, times the tokens of a part (with a mark for each document) by its bytes.

    Args:
      data: the documents.
      model: the shape of the model.
      loss: the loss's settings.
      batch_size: of all hosts together.
      folder: of a trained run, which has its tokenizer itself.
      account: adds rows to the final table.

    Raises:
      InputError: the documents cannot be used, or rows are longer than the model's learned positions.
    """

    def __init__(
        self,
        data: DocumentsData,
        model: LanguageModelConfig,
        *,
        loss: CrossEntropyConfig = CROSS_ENTROPY,
        batch_size: int,
        folder: Path | None = None,
        account: Account | None = None,
    ) -> None:
        self._data, self.config, self._loss, self._account = data, model, loss, account
        self._batch_size = batch_size
        self._tokenizer: PretrainedTokenizer | None = None
        if data.tokenizer is not None:
            saved = folder / TOKENIZER if folder is not None else None
            own = data.tokenizer / TOKENIZER if data.tokenizer.is_dir() else data.tokenizer
            self._tokenizer_file = saved if saved is not None and saved.is_file() else own
            self._tokenizer = PretrainedTokenizer(self._tokenizer_file)
        self.mark = BYTES if self._tokenizer is None else self._tokenizer.size
        require_positions(model, data.length, "the rows")

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]:
        """The bits per byte of held-out documents."""
        return "bits_per_byte", "min"

    @property
    def notes(self) -> list[str]:
        """The number of documents and bytes of each part."""
        parts = self._parts.items()
        counts = ", ".join(f"{len(own)} with {own.bytes:,} bytes for {name}" for name, own in parts)
        return [f"documents: {counts}"]

    def build(self, rngs: nnx.Rngs) -> LanguageModel:
        """Returns a language model of the tokens and the mark."""
        return LanguageModel(self.config, vocab=self.mark + 1, rngs=rngs)

    def batch(self, step: int) -> Arrays:
        """Returns this host's "tokens", "answers" and "segments" [B, T] of a step."""
        return self._packed[step]

    def loss_of(
        self,
        model: LanguageModel,
        batch: Mapping[str, jax.Array],
        *,
        dropout: Dropout | None,
        hyper: Hyperparameters,
    ) -> LossAndMetrics:
        """Returns the `smoothed_cross_entropy` of the next tokens."""
        logits = model(batch["tokens"], segments=batch["segments"], dropout=dropout).logits
        smoothing = hyper.get("label_smoothing", self._loss.label_smoothing)
        return smoothed_cross_entropy(logits, batch["answers"], batch["answers"] >= 0, smoothing)

    def validate(self, params: Params) -> dict[str, float]:
        """Returns the bits per byte of rows of the validation part."""
        bits = self._bits(params, self.validation)
        return {"bits_per_byte": float(bits.mean()) * self._tokens_per_byte("validation")}

    def evaluate(self, params: Params, folder: Path) -> Evaluation:
        """Returns rows of the test part at one, two and four times the trained length, and of n-grams.

        All score the same tokens. The longer a row, the fewer of its tokens have little before them; what
        stands beyond the trained length has a column of its own. The picture has the bits of the longest rows
        by their places.
        """
        from attnjax.tasks.language.picture import places_figure
        from attnjax.tasks.pictures import save

        length, rate = self._data.length, self._tokens_per_byte("test")
        metrics: dict[str, dict[str, float]] = {}
        most = most_positions(self.config)
        bits = np.zeros((0, 0))
        for times in (1, 2, LONGEST):
            if most is not None and times * length > most:
                continue
            rows = {name: array.reshape(-1, times * length) for name, array in self._test.items()}
            bits = self._bits(params, rows)
            row = {BITS: float(bits.mean()) * rate}
            if times > 1:
                row[BEYOND] = float(bits[:, length:].mean()) * rate
            metrics["test" if times == 1 else f"test, {times} times as long"] = row
        baselines: dict[str, float] = {}
        for order in (self._data.ngram, 1):
            model = self._ngrams(order)
            arrays = [self._test[name] for name in ("tokens", "segments", "answers")]
            log_p = [model.log_p_of(*row) for row in zip(*arrays, strict=True)]
            name = "tokens by themselves" if model.order == 1 else f"Kneser–Ney, n = {model.order}"
            metrics[name] = {BITS: float(-np.mean(log_p) / np.log(2)) * rate}
            baselines[name] = metrics[name][BITS]
        if self._account is not None:
            found = self._account(self.model(params), self._test)
            metrics |= {row: dict(columns) for row, columns in found.items()}
        save(places_figure(bits, baselines, length, rate), folder / PICTURE)
        return Evaluation(metrics, self._samples(params), [folder / PICTURE])

    def read_input(self, text: str) -> list[int]:
        """Returns the mark and the tokens of a text.

        Raises:
          InputError: they are more than the model's learned positions.
        """
        tokens = self._encode(text)
        require_positions(self.config, len(tokens), "the tokens")
        return tokens

    def predict(self, params: Params, inputs: Sequence[Sequence[int]]) -> list[Continuation]:
        """Returns what comes after each text, with the bits of its own tokens."""
        writer = self.writer(params)
        tokens = padded(inputs, most_positions(self.config))
        log_p = self.infer(_log_p, params, {"tokens": tokens})
        answers = []
        for own, row in zip(inputs, log_p, strict=True):
            bits = tuple(float(-row[i, token] / np.log(2)) for i, token in enumerate(own[1:]))
            written = "".join(writer.write(own, max_length=CONTINUED))
            answers.append(Continuation(written, bits, tuple(self._names(own[1:]))))
        return answers

    def writer(self, params: Params) -> TextModel:
        """Returns the model with the way from text to tokens and back; the mark ends a text."""
        return TextModel(self.model(params), self._encode, self._decode, eos=(self.mark,), names=self._names)

    def save(self, folder: Path) -> None:
        """Writes the tokenizer, where there is one."""
        if self._tokenizer is not None:
            self._tokenizer.save(folder / TOKENIZER)

    @cached_property
    def validation(self) -> Arrays:
        """Rows from all over the validation part."""
        packed = Packed(self._parts["validation"], self._data.length, mark=self.mark)
        return packed.chosen(_evenly(packed.rows, VALIDATED))

    @cached_property
    def _test(self) -> Arrays:
        """Rows of the test part, as long as the longest that are scored."""
        longest = LONGEST * self._data.length
        packed = Packed(self._parts["test"], longest, mark=self.mark)
        return packed.chosen(_evenly(packed.rows, max(1, self._data.evaluation_tokens // longest)))

    @cached_property
    def _packed(self) -> Packed:
        return Packed(
            self._parts["train"],
            self._data.length,
            batch_size=self._batch_size,
            seed=self._data.seed,
            mark=self.mark,
        )

    @cached_property
    def _parts(self) -> dict[str, Documents]:
        files = document_parts(self._data)
        if self._tokenizer is None:
            return {part: of_bytes(own) for part, own in files.items()}
        name = content_hash("data.tokenizer", self._tokenizer_file)
        return {part: of_tokens(own, self._tokenizer, name) for part, own in files.items()}

    def _tokens_per_byte(self, part: str) -> float:
        documents = self._parts[part]
        return float(documents.sizes.sum() + len(documents)) / documents.bytes

    def _bits(self, params: Params, rows: Arrays) -> np.ndarray:
        given: np.ndarray = self.infer(_nats, params, rows, rows=min(16, len(rows["tokens"])))
        return given.astype(np.float64) / np.log(2)

    def _ngrams(self, order: int) -> KneserNey:
        """Returns the n-grams of documents of training in a random order, up to so many tokens."""
        train, left = self._parts["train"], self._data.ngram_tokens
        documents = []
        for place in np.random.default_rng([self._data.seed, 29]).permutation(len(train)):
            documents.append(train.read(int(place), 0, min(left, int(train.sizes[place]))))
            left -= len(documents[-1])
            if left <= 0:
                break
        return KneserNey(documents, order, vocab=self.mark + 1, mark=self.mark)

    def _encode(self, text: str) -> list[int]:
        if self._tokenizer is None:
            return [self.mark, *text.encode()]
        return [self.mark, *self._tokenizer.encode(text, special=False)]

    def _decode(self, ids: Sequence[int]) -> str:
        own = [token for token in ids if token != self.mark]
        return bytes(own).decode(errors="replace") if self._tokenizer is None else self._tokenizer.decode(own)

    def _names(self, ids: Sequence[int]) -> list[str]:
        name: Any = byte_word if self._tokenizer is None else lambda i: self._tokenizer.names([i])[0]  # type: ignore[union-attr]
        return ["‹document›" if token == self.mark else name(token) for token in ids]

    def _samples(self, params: Params) -> list[dict[str, str]]:
        row = self._test["tokens"][0]
        prompt = row[: min(PROMPT, len(row))].tolist()
        written = "".join(self.writer(params).write(prompt, max_length=CONTINUED))
        following = row[len(prompt) : len(prompt) + CONTINUED].tolist()
        return [
            {"text": self._decode(prompt), "written": written, "in the document": self._decode(following)}
        ]


def _nats(model: LanguageModel, arrays: Mapping[str, jax.Array]) -> Float[Array, "B T"]:
    """Returns -log p of the answers."""
    logits = model(arrays["tokens"], segments=arrays["segments"]).logits
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
    return -jnp.take_along_axis(log_p, arrays["answers"][..., None], axis=-1)[..., 0]


def _log_p(model: LanguageModel, arrays: Mapping[str, jax.Array]) -> Float[Array, "B T V"]:
    return jax.nn.log_softmax(model(arrays["tokens"]).logits.astype(jnp.float32))


def _evenly(count: int, most: int) -> np.ndarray:
    require(count > 0, "there are no rows: expected one or more")
    return np.linspace(0, count - 1, min(count, most)).round().astype(int)
