"""Questions within sequences: a language model answers at the tokens where something is asked."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from attnjax.config import require
from attnjax.data.hosts import host_rows
from attnjax.data.synthetic.questions import NOT_ASKED, Arrays, Part, Sequences, stream
from attnjax.models.config import LanguageModelConfig
from attnjax.models.language_model import LanguageModel
from attnjax.nn.dropout import Dropout
from attnjax.tasks.base import Evaluation, Params
from attnjax.tasks.inference import in_batches
from attnjax.tasks.losses import smoothed_cross_entropy

ANSWERS, SEQUENCES = "answers %", "sequences %"
SAMPLES = 2
"""Of each row of the final table."""


class SequenceTask:
    """Trains a `LanguageModel` to give the answers of a source of sequences.

    Every answer is given with the right tokens before it (teacher forcing). A sequence whose answers are all
    right is therefore one that greedy decoding would have written as well, where an answer is the next token.

    Raises InputError where the sequences are longer than the model's learned positions.
    """

    def __init__(self, source: Sequences, model: LanguageModelConfig, *, batch_size: int) -> None:
        self.source, self._model = source, model
        self._slice, self._batch_size = host_rows(batch_size), batch_size
        width = max(arrays["tokens"].shape[1] for arrays in self._tests.values())
        require(
            model.positions != "learned" or width <= model.max_length,
            f"model.max_length is {model.max_length}: the sequences need {width} learned positions",
        )
        self._graphdef = nnx.split(nnx.eval_shape(lambda: self._made(jax.random.key(0))), nnx.Param)[0]
        self._answer = jax.jit(self._answered)

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]:
        """The share of right answers."""
        return "answers", "max"

    def init(self, key: Key[Array, ""]) -> Params:
        """Fresh parameters of the model, as nested dicts of arrays."""
        return nnx.to_pure_dict(nnx.split(self._made(key), nnx.Param)[1])

    def batch(self, step: int) -> Arrays:
        """This host's rows of the step's "tokens" and "answers"."""
        rng = stream(self.source.config.seed, Part.TRAIN, step)
        made = self.source.rows(self._batch_size, rng)
        return {name: array[self._slice] for name, array in made.items()}

    def loss(
        self,
        params: Params,
        batch: Mapping[str, jax.Array],
        *,
        dropout: Dropout | None,
        label_smoothing: float | Float[Array, ""],
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """The `smoothed_cross_entropy` of the answers; nothing else of a sequence is learned."""
        logits = self._merged(params)(batch["tokens"], dropout=dropout).logits
        answers = batch["answers"]
        return smoothed_cross_entropy(logits, answers, answers != NOT_ASKED, label_smoothing)

    def validate(self, params: Params) -> dict[str, float]:
        """The percentages of right answers and of sequences without a wrong one, in held-out sequences."""
        scores = score(self._validation["answers"], self._given(params, self._validation))
        return {"answers": scores[ANSWERS], "sequences": scores[SEQUENCES]}

    def held_out(self) -> Arrays:
        """The sequences of `validate`."""
        return self._validation

    def evaluate(self, params: Params, folder: Path) -> Evaluation:
        """A row with the percentages of `validate` for every setting of the source, and samples of each."""
        metrics: dict[str, dict[str, float]] = {}
        samples: list[dict[str, str]] = []
        for setting, arrays in self._tests.items():
            given = self._given(params, arrays)
            metrics[setting] = {**score(arrays["answers"], given), "examples": len(given)}
            samples += [self._sample(setting, arrays, given, row) for row in range(min(SAMPLES, len(given)))]
        return Evaluation(metrics, samples)

    def save(self, folder: Path) -> None:
        """A trained run needs nothing but its parameters and its config."""

    @cached_property
    def _validation(self) -> Arrays:
        config = self.source.config
        return self.source.rows(config.evaluation_examples, stream(config.seed, Part.VALIDATION))

    @cached_property
    def _tests(self) -> dict[str, Arrays]:
        config = self.source.config
        return {
            setting: self.source.rows(config.evaluation_examples, stream(config.seed, Part.TEST), setting)
            for setting in self.source.settings
        }

    def _made(self, key: Key[Array, ""]) -> LanguageModel:
        return LanguageModel(self._model, vocab=self.source.vocab, rngs=nnx.Rngs(key))

    def _merged(self, params: Params) -> LanguageModel:
        return nnx.merge(self._graphdef, params)

    def _given(self, params: Params, arrays: Arrays) -> Int[np.ndarray, "n T"]:
        return in_batches(self._answer, params, {"tokens": arrays["tokens"]})

    def _answered(self, params: Params, arrays: Mapping[str, jax.Array]) -> Int[Array, "B T"]:
        """The likeliest answer at every token."""
        logits = self._merged(params)(arrays["tokens"]).logits
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)

    def _sample(
        self, setting: str, arrays: Arrays, given: Int[np.ndarray, "n T"], row: int
    ) -> dict[str, str]:
        asked = arrays["answers"][row] != NOT_ASKED

        def words(tokens: Int[np.ndarray, " n"]) -> str:
            return " ".join(map(self.source.word, tokens.tolist()))

        right = arrays["answers"][row][asked]
        return {
            "row": setting,
            "sequence": words(arrays["tokens"][row]),
            "answers": words(given[row][asked]),
            "right ones": words(right),
        }


def score(answers: Int[np.ndarray, "n T"], given: Int[np.ndarray, "n T"]) -> dict[str, float]:
    """The percentages of right answers and of sequences that have no wrong one.

    >>> answers = np.array([[NOT_ASKED, 4, 5], [NOT_ASKED, 6, 7]])
    >>> score(answers, np.array([[9, 4, 5], [9, 6, 6]]))
    {'answers %': 75.0, 'sequences %': 50.0}
    """
    asked, right = answers != NOT_ASKED, answers == given
    return {
        ANSWERS: 100 * float(right[asked].mean()),
        SEQUENCES: 100 * float((right | ~asked).all(axis=1).mean()),
    }
