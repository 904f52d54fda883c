"""Classification of sequences in which the tokens that decide are known."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from attnjax.config import require
from attnjax.data.hosts import host_rows
from attnjax.data.synthetic.planted import MASK, START, PlantedSequences
from attnjax.data.synthetic.questions import Split, stream
from attnjax.models.encoder import Encoder
from attnjax.models.encoder_config import EncoderConfig
from attnjax.nn.dropout import Dropout
from attnjax.tasks.base import Arrays, Evaluation, Hyperparameters, LossAndMetrics, Params
from attnjax.tasks.inference import most_positions, padded
from attnjax.tasks.losses import of_labels
from attnjax.tasks.model_task import ModelTask, require_positions
from attnjax.tasks.texts.label import Label

RIGHT = "right %"
Account = Callable[[Encoder, Arrays], Mapping[str, Mapping[str, float]]]
"""A function from the trained model and the sequences of the first row to further rows of the table."""


class PlantedTask(ModelTask[Encoder]):
    """Trains an `Encoder` to label sequences of a source whose deciding tokens are known.

    Of the tokens of training one in ten, drawn for each step, gives its place to the mask token: a model that
    is asked about removed tokens later has seen some. The label stays.

    Args:
      source: makes the sequences.
      config: the shape of the model; its head and its labels are those of the task.
      batch_size: of all hosts together.
      masked: the share of the tokens that give their place to the mask.
      account: adds rows to the final table, such as the faithfulness of attributions.

    Raises:
      InputError: the sequences are longer than the model's learned positions.
    """

    def __init__(
        self,
        source: PlantedSequences,
        config: EncoderConfig,
        *,
        batch_size: int,
        masked: float = 0.1,
        account: Account | None = None,
    ) -> None:
        require(0 <= masked < 1, f"masked is {masked!r}: expected a share in [0, 1)")
        require_positions(config, source.longest, "the sequences")
        self.source, self.config, self._account, self._masked = source, config, account, masked
        self._slice, self._batch_size = host_rows(batch_size), batch_size

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]:
        """The percentage of right labels."""
        return "right", "max"

    def build(self, rngs: nnx.Rngs) -> Encoder:
        """Returns an encoder with a head for the labels."""
        return Encoder(self.config, vocab=self.source.vocab, rngs=rngs)

    def batch(self, step: int) -> Arrays:
        """Returns this host's "tokens" [B, T], "lengths" and "labels" [B] of a step."""
        rng = stream(self.source.config.seed, Split.TRAIN, step)
        made = self.source.rows(self._batch_size, rng)
        ordinary = made["tokens"] > max(START, MASK)
        hidden = ordinary & (rng.random(made["tokens"].shape) < self._masked)
        made["tokens"] = np.where(hidden, MASK, made["tokens"]).astype(np.int32)
        return {name: made[name][self._slice] for name in ("tokens", "lengths", "labels")}

    def loss_of(
        self,
        model: Encoder,
        batch: Mapping[str, jax.Array],
        *,
        dropout: Dropout | None,
        hyper: Hyperparameters,
    ) -> LossAndMetrics:
        """Returns the cross-entropy of the labels."""
        logits = model(batch["tokens"], lengths=batch["lengths"], dropout=dropout).logits
        assert logits is not None
        return of_labels(logits, batch["labels"])

    def validate(self, params: Params) -> dict[str, float]:
        """Returns the percentage of right labels of held-out sequences."""
        return {"right": self._right(params, self.validation)}

    def evaluate(self, params: Params, folder: Path) -> Evaluation:
        """Returns a row with this percentage for every setting of the source, and those of the account."""
        seed, count = self.source.config.seed, self.source.config.evaluation_examples
        metrics: dict[str, dict[str, float]] = {}
        tests = {
            setting: self.source.rows(count, stream(seed, Split.TEST), setting)
            for setting in self.source.settings
        }
        for setting, test in tests.items():
            metrics[setting] = {RIGHT: self._right(params, test)}
        if self._account is not None:
            found = self._account(self.model(params), tests[self.source.settings[0]])
            metrics |= {row: dict(columns) for row, columns in found.items()}
        return Evaluation(metrics)

    @cached_property
    def validation(self) -> Arrays:
        """The held-out sequences of `validate`."""
        config = self.source.config
        made = self.source.rows(config.evaluation_examples, stream(config.seed, Split.VALIDATION))
        return {name: made[name] for name in ("tokens", "lengths", "labels")}

    def read_input(self, text: str) -> list[int]:
        """Returns the tokens of a sequence, of which the text has the words; the first one may be left out.

        Raises:
          InputError: there is no such token.
        """
        known = {self.source.word(token): token for token in range(self.source.vocab)}
        for word in text.split():
            require(
                word in known, f"{word!r} is no token: expected words such as {', '.join(list(known)[3:9])}"
            )
        tokens = [known[word] for word in text.split()]
        return tokens if tokens[:1] == [START] else [START, *tokens]

    def predict(self, params: Params, inputs: Sequence[Sequence[int]]) -> list[Label]:
        """Returns the likeliest label of each sequence of tokens."""
        tokens = padded(inputs, most_positions(self.config))
        arrays = {"tokens": tokens, "lengths": np.array([len(own) for own in inputs], np.int32)}
        found = self.infer(probabilities, params, arrays)
        names = self.source.labels
        return [
            Label(names[int(row.argmax())], dict(zip(names, map(float, row), strict=True))) for row in found
        ]

    def _right(self, params: Params, arrays: Arrays) -> float:
        given = {name: arrays[name] for name in ("tokens", "lengths")}
        return 100 * float((self.infer(probabilities, params, given).argmax(-1) == arrays["labels"]).mean())


def probabilities(model: Encoder, arrays: Mapping[str, jax.Array]) -> Float[Array, "B L"]:
    """Returns the probabilities of the labels of "tokens" with "lengths"."""
    logits = model(arrays["tokens"], lengths=arrays["lengths"]).logits
    assert logits is not None
    return jax.nn.softmax(logits.astype(jnp.float32))
