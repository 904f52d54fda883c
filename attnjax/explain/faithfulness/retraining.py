"""ROAR: a model trained anew on inputs without the tokens that an order names first.

    parts = {"train": train, "validation": validation, "test": test}  # tokens, lengths, labels, ranks
    task = RetrainedTask(parts, config, vocab=vocab, batch_size=64, removed=0.3, baseline=mask_id)

The training never sees what is removed, so that what falls is what the tokens told, and not what a model
makes of inputs that it has never seen.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.config import require
from attnjax.data.hosts import host_rows
from attnjax.data.synthetic.questions import Split, stream
from attnjax.explain.faithfulness.removal import Removal, closed_up
from attnjax.models.encoder import Encoder
from attnjax.models.encoder_config import EncoderConfig
from attnjax.nn.dropout import Dropout
from attnjax.tasks.base import Arrays, Evaluation, Hyperparameters, LossAndMetrics, Params
from attnjax.tasks.losses import of_labels
from attnjax.tasks.model_task import ModelTask, require_positions
from attnjax.tasks.planted import RIGHT, probabilities

_PARTS = ("train", "validation", "test")
_ARRAYS = ("tokens", "lengths", "labels", "ranks")


@partial(jax.jit, static_argnames="removal")
def without_first(
    tokens: Int[Array, "B T"],
    lengths: Int[Array, " B"],
    ranks: Int[Array, "B T"],
    share: float | Float[Array, ""],
    *,
    removal: Removal = "replace",
    baseline: int | Int[Array, ""] = 0,
) -> tuple[Int[Array, "B T"], Int[Array, " B"]]:
    """Returns inputs without the first ⌈share·n⌉ of their n tokens that are counted, and their lengths.

    It is the removal of the metrics; the share may be traced.

    Args:
      tokens: the inputs.
      lengths: the number of tokens of each; what stands behind is padding.
      ranks: of each token, 0 for the one that goes first, T for one that always stays: padding and special
        tokens. `ranks_of` gives them.
      share: in [0, 1].
      removal: "replace" puts the baseline in the place of a token, "delete" closes the gap.
      baseline: the id that "replace" puts there.

    Example:
      >>> tokens, ranks = jnp.array([[9, 3, 1, 4, 0]]), jnp.array([[5, 2, 0, 1, 5]])
      >>> reduced, _ = without_first(tokens, jnp.array([4]), ranks, 0.5, baseline=7)
      >>> reduced.tolist()
      [[9, 3, 7, 7, 0]]
      >>> reduced, lengths = without_first(tokens, jnp.array([4]), ranks, 0.5, removal="delete")
      >>> reduced.tolist(), lengths.tolist()
      ([[9, 3, 0, 0, 0]], [2])
    """
    places = jnp.arange(tokens.shape[1])
    counts = (ranks < tokens.shape[1]).sum(1, keepdims=True)
    # In float32 a share of 30% of 10 tokens may be a little more than 3.
    gone = ranks < jnp.ceil(share * counts - 1e-4)
    if removal == "replace":
        return jnp.where(gone, jnp.asarray(baseline, tokens.dtype), tokens), lengths
    there = ~gone & (places < lengths[:, None])
    left = there.sum(1).astype(lengths.dtype)
    # What is gone must not lie behind the others: the training would have it.
    return jnp.where(places < left[:, None], closed_up(tokens, there), 0), left


class RetrainedTask(ModelTask[Encoder]):
    """Trains an `Encoder` to label inputs without the tokens that an order names first, and tests it so.

    This is ROAR, remove and retrain: the faithful order is the one without whose first tokens the label can
    no longer be learned. The share is a traced field `removed` of the config: trials of a sweep that differ
    in it train side by side in a pack, on the same batches.

    Args:
      parts: "train", "validation" and "test", each with "tokens" [N, T], "lengths" and "labels" [N], and the
        "ranks" [N, T] of `without_first`.
      config: the shape of the model; its head and its labels are those of the task.
      vocab: the number of tokens.
      batch_size: of all hosts together.
      removed: the share of the tokens of each input that is removed, in training and in tests.
      removal: "replace" or "delete".
      baseline: the id of a removed token.
      seed: draws the batches.

    Raises:
      InputError: a part or an array is missing, shapes differ, or a number is out of range.

    References:
      Hooker et al., A benchmark for interpretability methods in deep neural networks, 2019. arXiv:1806.10758.

    Example:
      >>> one = {"tokens": np.array([[1, 5, 0]]), "lengths": np.array([2]), "labels": np.array([1])}
      >>> parts = dict.fromkeys(("train", "validation", "test"), one | {"ranks": np.array([[3, 0, 3]])})
      >>> config = EncoderConfig(dim=8, heads=2, layers=1, head="labels")
      >>> task = RetrainedTask(parts, config, vocab=6, batch_size=2, removed=1, baseline=2)
      >>> task.reduced("test")["tokens"].tolist()
      [[1, 2, 0]]
    """

    def __init__(
        self,
        parts: Mapping[str, Arrays],
        config: EncoderConfig,
        *,
        vocab: int,
        batch_size: int,
        removed: float,
        removal: Removal = "replace",
        baseline: int = 0,
        seed: int = 0,
    ) -> None:
        _require_share("removed", removed)
        choices = get_args(Removal)
        require(removal in choices, f"removal is {removal!r}: expected {' or '.join(map(repr, choices))}")
        for name in _PARTS:
            _require_part(name, parts.get(name, {}))
        require_positions(config, parts["train"]["tokens"].shape[1], "the inputs")
        self.config, self._vocab, self._seed = config, vocab, seed
        self._parts = {name: {key: np.asarray(parts[name][key]) for key in _ARRAYS} for name in _PARTS}
        self._removed = removed
        self._how: dict[str, Any] = {"removal": removal, "baseline": baseline}
        self._slice, self._batch_size = host_rows(batch_size), batch_size

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]:
        """The percentage of right labels."""
        return "right", "max"

    @property
    def validation(self) -> Arrays:
        """The held-out inputs with their ranks."""
        return self._parts["validation"]

    def build(self, rngs: nnx.Rngs) -> Encoder:
        """Returns an encoder with a head for the labels."""
        return Encoder(self.config, vocab=self._vocab, rngs=rngs)

    def batch(self, step: int) -> Arrays:
        """Returns this host's whole inputs of a step with their ranks; the loss removes what is to go."""
        train = self._parts["train"]
        rows = stream(self._seed, Split.TRAIN, step).integers(len(train["labels"]), size=self._batch_size)
        return {name: x[rows[self._slice]] for name, x in train.items()}

    def loss_of(
        self,
        model: Encoder,
        batch: Mapping[str, jax.Array],
        *,
        dropout: Dropout | None,
        hyper: Hyperparameters,
    ) -> LossAndMetrics:
        """Returns the cross-entropy of the labels of what is left."""
        tokens, lengths = self._left(batch, hyper.get("removed", self._removed))
        logits = model(tokens, lengths=lengths, dropout=dropout).logits
        assert logits is not None
        return of_labels(logits, batch["labels"])

    def validate(self, params: Params) -> dict[str, float]:
        """Returns the percentage of right labels of held-out inputs."""
        return self.validate_trial(params, {})

    def validate_trial(self, params: Params, hyper: Hyperparameters) -> dict[str, float]:
        """Returns this percentage where another share is removed."""
        return {"right": self._right(params, "validation", hyper)}

    def evaluate(self, params: Params, folder: Path) -> Evaluation:
        """Returns this percentage of the test, and that of the commonest label of training."""
        return self.evaluate_trial(params, folder, {})

    def evaluate_trial(self, params: Params, folder: Path, hyper: Hyperparameters) -> Evaluation:
        """Returns the table where another share is removed."""
        commonest = np.bincount(self._parts["train"]["labels"]).argmax()
        blind = 100 * float((self._parts["test"]["labels"] == commonest).mean())
        right = self._right(params, "test", hyper)
        return Evaluation({"test": {RIGHT: right}, "the commonest label": {RIGHT: blind}})

    def reduced(self, part: str, removed: float | Float[Array, ""] | None = None) -> Arrays:
        """Returns the "tokens" and "lengths" of a part without what is removed.

        Args:
          part: "train", "validation" or "test".
          removed: the share; None: that of the task.
        """
        tokens, lengths = self._left(self._parts[part], self._removed if removed is None else removed)
        return {"tokens": np.asarray(tokens), "lengths": np.asarray(lengths)}

    def _left(self, arrays: Mapping[str, Any], share: Any) -> tuple[Any, Any]:
        left: tuple[Any, Any] = without_first(
            arrays["tokens"], arrays["lengths"], arrays["ranks"], share, **self._how
        )
        return left

    def _right(self, params: Params, part: str, hyper: Hyperparameters) -> float:
        given = self.reduced(part, hyper.get("removed"))
        found = self.infer(probabilities, params, given).argmax(-1)
        return 100 * float((found == self._parts[part]["labels"]).mean())


def _require_share(name: str, value: Any) -> None:
    """Raises InputError unless the value is a share in [0, 1]."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    require(number and 0 <= value <= 1, f"{name} is {value!r}: expected a share in [0, 1]")


def _require_part(name: str, arrays: Arrays) -> None:
    missing = [key for key in _ARRAYS if key not in arrays]
    require(not missing, f"parts[{name!r}] has no {', '.join(missing)}: expected {', '.join(_ARRAYS)}")
    tokens, ranks = np.shape(arrays["tokens"]), np.shape(arrays["ranks"])
    require(
        tokens == ranks and len(tokens) == 2 and tokens[0] > 0,
        f"parts[{name!r}]: tokens {list(tokens)} and ranks {list(ranks)}, expected both [N, T]",
    )
