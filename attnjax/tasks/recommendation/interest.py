"""Recommendation by a Deep Interest Network, which reads a history for each candidate anew."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from attnjax.config import require
from attnjax.data.interactions.config import InteractionData
from attnjax.models.interest import InterestNetwork
from attnjax.models.recommender_config import InterestConfig
from attnjax.nn.dropout import Dropout
from attnjax.ops.items import RankedItems, binary_loss, rank_chunks, sampled_softmax_loss
from attnjax.tasks.base import Hyperparameters, LossAndMetrics
from attnjax.tasks.metrics.ranking import K
from attnjax.tasks.recommendation.answers import cosines
from attnjax.tasks.recommendation.config import ItemLossConfig
from attnjax.tasks.recommendation.task import RecommendationTask

CHUNK = 128
"""Candidates scored at a time: for each a history is read."""
ROUNDING = 1e-6
"""Of a score: others that differ by no more are equal."""


class InterestTask(RecommendationTask):
    """Trains an `InterestNetwork` to tell the item after each history from items that are drawn.

    Its metric in the literature is AUC; the table has it beside the places among all items.

    Args:
      data: the log and its parts.
      config: the model's shape.
      loss: the loss's settings; items are drawn, so its kind is not full.
      batch_size: of all hosts together.

    Raises:
      InputError: as in `RecommendationTask`, or the loss is over all items.
    """

    rows: ClassVar[int] = 32
    last_target_alone: ClassVar[bool] = True

    @property
    def reads_rows(self) -> bool:
        """False: the biases of items are a table too, and small."""
        return False

    def __init__(
        self, data: InteractionData, config: InterestConfig, *, loss: ItemLossConfig, batch_size: int
    ) -> None:
        require(
            loss.kind != "full",
            "loss.kind is 'full': a model that reads the history for each item anew has sampled, bce or gbce",
        )
        own: Any = config
        super().__init__(data, own, loss=loss, batch_size=batch_size)

    def _causal(self) -> bool:
        return True

    def build(self, rngs: nnx.Rngs) -> Any:
        """Returns a model of the log's items."""
        own: Any = self.config
        return InterestNetwork(own, items=self.log.catalogue, rngs=rngs)

    def loss_of(
        self,
        model: Any,
        batch: Mapping[str, jax.Array],
        *,
        dropout: Dropout | None,
        hyper: Hyperparameters,
    ) -> LossAndMetrics:
        """Returns the mean loss of the last target of each history."""
        calibration = hyper.get("calibration", self._loss.calibration)
        last = (batch["lengths"] - 1)[:, None]
        target = jnp.take_along_axis(batch["targets"], last, axis=1)
        candidates = jnp.concatenate([target, batch["negatives"]], axis=1)
        scores = model(batch["items"], candidates, lengths=batch["lengths"])
        given = scores[:, 0], scores[:, 1:], batch["negatives"] == target
        if self._loss.kind == "sampled":
            losses = sampled_softmax_loss(*given, items=model.items)
        else:
            t = calibration if self._loss.kind == "gbce" else 0.0
            losses = binary_loss(*given, items=model.items, calibration=t)
        weight = jnp.float32(len(losses))
        return losses.mean(), {"loss": losses.mean(), "weight": weight}

    def all_scores(self, model: Any, arrays: Mapping[str, jax.Array]) -> Float[Array, "B I"]:
        """Returns the scores of all items after histories."""
        rows, items = len(arrays["items"]), model.items
        starts = jnp.arange(0, items, CHUNK, dtype=jnp.int32)
        found = jax.lax.map(lambda start: self._scores(model, arrays, start, CHUNK), starts)
        return jnp.moveaxis(found, 0, 1).reshape(rows, -1)[:, :items]

    def similar(self, model: Any, arrays: Mapping[str, jax.Array]) -> Float[Array, "B I"]:
        """Returns the cosines of the embedding of "item" with those of all items."""
        return cosines(model.embedding.embedding[...], arrays["item"])

    def attention(self, model: Any, arrays: Mapping[str, jax.Array]) -> Float[Array, "B T"]:
        """Returns how much "item" reads of each past item."""
        past, own = model.embedding(arrays["items"]), model.embedding(arrays["item"][:, None])
        found: Array = model.weights(past, own, arrays["lengths"])[:, 0]
        return found

    def _scores(
        self, model: Any, arrays: Mapping[str, jax.Array], start: Array, chunk: int
    ) -> Float[Array, "B C"]:
        """Returns the scores of items from a first one on; beyond the last they mean nothing."""
        own = jnp.minimum(start + jnp.arange(chunk, dtype=jnp.int32), model.items - 1)
        candidates = jnp.broadcast_to(own, (len(arrays["items"]), chunk))
        found: Array = model(arrays["items"], candidates, lengths=arrays["lengths"])
        return found

    def _ranked(self, model: Any, arrays: Mapping[str, jax.Array], k: int) -> RankedItems:
        targets, chunk = arrays["target"], min(CHUNK, model.items)
        own = model(arrays["items"], targets[:, None], lengths=arrays["lengths"])[:, 0]
        return rank_chunks(
            lambda start: self._scores(model, arrays, start, chunk),
            own,
            model.items,
            k=min(k, K),
            targets=targets,
            excluded=arrays.get("seen"),
            margin=ROUNDING * (1 + jnp.abs(own)),
            chunk=chunk,
        )
