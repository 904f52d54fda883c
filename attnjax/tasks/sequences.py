"""Questions within sequences: a language model answers at the tokens where something is asked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Int

from attnjax.config import require
from attnjax.data.hosts import host_rows
from attnjax.data.synthetic.questions import NOT_ASKED, Sequences, Split, stream
from attnjax.models.config import LanguageModelConfig
from attnjax.models.decoding.text import TextModel
from attnjax.models.language_model import LanguageModel
from attnjax.nn.dropout import Dropout
from attnjax.tasks.base import Arrays, Evaluation, Hyperparameters, LossAndMetrics, Params, Prediction
from attnjax.tasks.config import CROSS_ENTROPY, CrossEntropyConfig
from attnjax.tasks.losses import smoothed_cross_entropy
from attnjax.tasks.model_task import ModelTask, require_positions

ANSWERS, SEQUENCES = "answers %", "sequences %"
SAMPLES = 2
"""Of each row of the final table."""


@dataclass(frozen=True)
class Answers(Prediction):
    """The likeliest answer at each token of a sequence; the last one stands for them all.

    Where nothing is asked, answers mean nothing.
    """

    tokens: list[int]
    answers: list[int]
    word: Callable[[int], str]
    """Writes a token."""

    @property
    def text(self) -> str:  # type: ignore[override]
        """The answer at the last token."""
        return self.word(self.answers[-1])

    def record(self) -> dict[str, Any]:
        """Returns the answer at the last token."""
        return {"answer": self.answers[-1], "word": self.text}

    def details(self) -> dict[str, Any]:
        """Returns all tokens and all answers, as ids."""
        return {"tokens": self.tokens, "answers": self.answers}

    def picture(self) -> str:
        """Returns the tokens and, below each, its answer."""
        rows = [[self.word(token) for token in tokens] for tokens in (self.tokens, self.answers)]
        widths = [max(map(len, pair)) for pair in zip(*rows, strict=True)]
        lines = (map(str.ljust, row, widths) for row in rows)
        return "\n".join(" ".join(line).rstrip() for line in lines)


class SequenceTask(ModelTask[LanguageModel]):
    """Trains a `LanguageModel` to give the answers of a source of sequences.

    Every answer is given with the right tokens before it (teacher forcing). A sequence whose answers are all
    right is therefore one that greedy decoding would have written as well, where an answer is the next token.

    Args:
      source: makes the sequences.
      config: the model's shape.
      loss: the loss's settings.
      batch_size: of all hosts together.

    Raises:
      InputError: the sequences are longer than the model's learned positions.
    """

    def __init__(
        self,
        source: Sequences,
        config: LanguageModelConfig,
        *,
        loss: CrossEntropyConfig = CROSS_ENTROPY,
        batch_size: int,
    ) -> None:
        self.source, self.config, self._loss = source, config, loss
        self._slice, self._batch_size = host_rows(batch_size), batch_size
        require_positions(config, max(x["tokens"].shape[1] for x in self._tests.values()), "the sequences")

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]:
        """The share of right answers."""
        return "answers", "max"

    def build(self, rngs: nnx.Rngs) -> LanguageModel:
        """Returns a language model of the source's tokens."""
        return LanguageModel(self.config, vocab=self.source.vocab, rngs=rngs)

    def batch(self, step: int) -> Arrays:
        """Returns this host's rows of the step's "tokens" and "answers"."""
        rng = stream(self.source.config.seed, Split.TRAIN, step)
        made = self.source.rows(self._batch_size, rng)
        return {name: array[self._slice] for name, array in made.items()}

    def loss_of(
        self,
        model: LanguageModel,
        batch: Mapping[str, jax.Array],
        *,
        dropout: Dropout | None,
        hyper: Hyperparameters,
    ) -> LossAndMetrics:
        """Returns the `smoothed_cross_entropy` of the answers; nothing else of a sequence is learned."""
        answers = batch["answers"]
        smoothing = hyper.get("label_smoothing", self._loss.label_smoothing)
        logits = model(batch["tokens"], dropout=dropout).logits
        return smoothed_cross_entropy(logits, answers, answers != NOT_ASKED, smoothing)

    def validate(self, params: Params) -> dict[str, float]:
        """Returns the percentages of right answers and of sequences without a wrong one, held out."""
        scores = score(self.validation["answers"], self._given(params, self.validation))
        return {"answers": scores[ANSWERS], "sequences": scores[SEQUENCES]}

    def evaluate(self, params: Params, folder: Path) -> Evaluation:
        """Returns a row with the percentages of `validate` for every setting of the source, and samples."""
        metrics: dict[str, dict[str, float]] = {}
        samples: list[dict[str, str]] = []
        for setting, arrays in self._tests.items():
            given = self._given(params, arrays)
            metrics[setting] = {**score(arrays["answers"], given), "examples": len(given)}
            samples += [self._sample(setting, arrays, given, row) for row in range(min(SAMPLES, len(given)))]
        return Evaluation(metrics, samples)

    @cached_property
    def validation(self) -> Arrays:
        """The held-out sequences of `validate`."""
        config = self.source.config
        rng = stream(config.seed, Split.VALIDATION)
        return self.source.rows(config.evaluation_examples, rng, part=Split.VALIDATION)

    @cached_property
    def _tests(self) -> dict[str, Arrays]:
        config = self.source.config
        return {
            setting: self.source.rows(
                config.evaluation_examples, stream(config.seed, Split.TEST), setting, Split.TEST
            )
            for setting in self.source.settings
        }

    def read_input(self, text: str) -> list[int]:
        """Returns the tokens of a sequence, of which the text has the words or the ids; a word comes first.

        Raises:
          InputError: there is no such token, or more of them than the model's learned positions.
        """
        known = {str(token): token for token in range(self.source.vocab)}
        known |= {self.source.word(token): token for token in range(self.source.vocab)}
        words = text.replace(",", " ").split()
        for word in words:
            require(
                word in known,
                f"{word!r} is no token: expected ids from 0 to {self.source.vocab - 1}, or words such as "
                f"{self._words(range(self.source.vocab - 2, self.source.vocab))}",
            )
        require_positions(self.config, len(words), "the tokens")
        return [known[word] for word in words]

    def predict(self, params: Params, inputs: Sequence[Sequence[int]]) -> list[Answers]:
        """Returns the likeliest answers in each sequence of tokens."""
        width = 1 << (max(map(len, inputs)) - 1).bit_length()
        if self.config.positions == "learned":
            width = min(width, self.config.max_length)
        # Nothing that stands before the padding sees it.
        tokens = np.zeros((len(inputs), width), np.int32)
        for row, own in zip(tokens, inputs, strict=True):
            row[: len(own)] = own
        given = self.infer(likeliest, params, {"tokens": tokens}).tolist()
        return [
            Answers(list(own), row[: len(own)], self.source.word)
            for own, row in zip(inputs, given, strict=True)
        ]

    def reader(self, params: Params) -> TextModel:
        """Returns the model with the words of its tokens."""

        def names(ids: Sequence[int]) -> list[str]:
            return [self.source.word(token) for token in ids]

        return TextModel(self.model(params), self.read_input, self._words, eos=(), names=names)

    def _given(self, params: Params, arrays: Arrays) -> Int[np.ndarray, "n T"]:
        return self.infer(likeliest, params, {"tokens": arrays["tokens"]})

    def _sample(
        self, setting: str, arrays: Arrays, given: Int[np.ndarray, "n T"], row: int
    ) -> dict[str, str]:
        asked = arrays["answers"][row] != NOT_ASKED
        right = arrays["answers"][row][asked]
        return {
            "row": setting,
            "sequence": self._words(arrays["tokens"][row].tolist()),
            "answers": self._words(given[row][asked].tolist()),
            "right ones": self._words(right.tolist()),
        }

    def _words(self, tokens: Sequence[int]) -> str:
        return " ".join(map(self.source.word, tokens))


def likeliest(model: LanguageModel, arrays: Mapping[str, jax.Array]) -> Int[Array, "B T"]:
    """Returns the likeliest answer at every token of "tokens"."""
    return jnp.argmax(model(arrays["tokens"]).logits, axis=-1).astype(jnp.int32)


def score(answers: Int[np.ndarray, "n T"], given: Int[np.ndarray, "n T"]) -> dict[str, float]:
    """Returns the percentages of right answers and of sequences that have no wrong one.

    >>> answers = np.array([[NOT_ASKED, 4, 5], [NOT_ASKED, 6, 7]])
    >>> score(answers, np.array([[9, 4, 5], [9, 6, 6]]))
    {'answers %': 75.0, 'sequences %': 50.0}
    """
    asked, right = answers != NOT_ASKED, answers == given
    return {
        ANSWERS: 100 * float(right[asked].mean()),
        SEQUENCES: 100 * float((right | ~asked).all(axis=1).mean()),
    }
