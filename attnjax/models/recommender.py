"""Models that read a history of items: SASRec, BERT4Rec, HSTU."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.models.factory import Parts
from attnjax.models.output import Captured, Hidden, Tapped, Weights
from attnjax.models.padding import key_mask, require_present
from attnjax.models.recommender_config import RecommenderConfig
from attnjax.models.stack import through
from attnjax.nn import Dropout, named
from attnjax.nn.taps import Asked, within
from attnjax.ops import masks, scores
from attnjax.ops.scores import Score


class HistoryOutput(NamedTuple):
    """The output of a model of histories.

    Attributes:
      states: a vector for each event [B, T, D]; those of the padding mean nothing.
      weights: those that a capture asked for; empty where none was given.
      hidden: the vectors that a capture asked for.
      taps: the arrays of the sites that `Taps` read.
    """

    states: Float[Array, "B T D"]
    weights: Weights
    hidden: Hidden
    taps: Tapped = {}  # noqa: RUF012, the default of a named tuple


class Recommender(nnx.Module):
    """A Transformer over a history of items, which shares their embedding with the items that it scores.

    Causal with softmax attention it is SASRec, without a causal mask BERT4Rec, with the mechanism hstu and
    `time_buckets` HSTU. The score of an item after a history is x·e, of the vector x of its last event and
    the item's embedding e. Padding stands on the right and is seen by nothing.

    Args:
      config: its shape.
      items: the number of items; a model that is not causal has one more row, the mask.

    References:
      Kang & McAuley, Self-Attentive Sequential Recommendation, 2018, arXiv:1808.09781.
      Sun et al., BERT4Rec, 2019, arXiv:1904.06690.
      Zhai et al., Actions Speak Louder than Words, 2024, arXiv:2402.17152 (HSTU).

    Example:
      >>> model = Recommender(RecommenderConfig(dim=8, heads=2), items=11, rngs=nnx.Rngs(0))
      >>> model(jnp.array([[3, 1, 4]]), lengths=jnp.array([2])).states.shape, model.table.shape
      ((1, 3, 8), (11, 8))
    """

    def __init__(self, config: RecommenderConfig, *, items: int, rngs: nnx.Rngs) -> None:
        self.config, self.items = config, items
        parts = Parts(config, rngs)
        self.embedding = parts.embedding(items if config.causal else items + 1)
        self.blocks = parts.stack(lambda i: parts.encoder_block(i, config.layers), config.layers)
        self.score = parts.position_score(bidirectional=not config.causal)
        self.times: nnx.Param[Array] | None = nnx.data(None)
        if config.time_buckets:
            start = jnp.zeros((config.time_buckets, config.heads), jnp.dtype(config.param_dtype))
            self.times = nnx.Param(start, **named("bucket", "heads"))
        self.norm = parts.read_out()

    @property
    def table(self) -> Float[Array, "V D"]:
        """The embeddings of the items, and of the mask where there is one."""
        table: Array = self.embedding.tokens.embedding[...]
        return table

    def __call__(
        self,
        items: Int[Array, "B T"],
        *,
        lengths: Int[Array, " B"],
        times: Int[Array, "B T"] | None = None,
        dropout: Dropout | None = None,
        capture: Asked = None,
    ) -> HistoryOutput:
        """Returns the vectors of the events.

        Args:
          items: of the events, the oldest first.
          lengths: the number of each row's events, after which there is padding.
          times: of the events, in seconds from any moment of the row; a model with `time_buckets` reads them.
          dropout: of embeddings, weights and layers.
          capture: the weights to return, by the path of their layer ("blocks.1.attention"), and the vectors
            ("embedding", "blocks.1", "norm"); or `Taps`.

        Raises:
          ValueError: Shapes do not fit, or there are no times for a model that reads them.
        """
        if items.ndim != 2:
            raise ValueError(f"items {list(items.shape)}: expected (B, T)")
        require_present("lengths", lengths, items.shape)
        captured = Captured(capture, "blocks")
        x = self.embedding(items, taps=within(captured.sites, "embedding"))
        x = x if dropout is None else dropout.fold("embedding")(x)
        seen = key_mask(lengths)
        states = through(
            self.blocks,
            self.norm,
            x,
            mask=masks.causal() & seen if self.config.causal else seen,
            score=self._scores(times),
            dropout=dropout,
            captured=captured,
            remat=self.config.recomputes,
        )
        return HistoryOutput(states, captured.weights, captured.hidden, captured.taps)

    def _scores(self, times: Int[Array, "B T"] | None) -> Any:
        found: list[Score] = [] if self.score is None else [self.score()]
        if self.times is not None:
            if times is None:
                raise ValueError("times None: a model with time_buckets reads the times of events")
            found.append(scores.pair_bias(time_bias(self.times[...], times)))
        return found or None


def time_bias(table: Float[Array, "R N"], times: Int[Array, "B T"]) -> Float[Array, "B N T T"]:
    """Returns the row of the table for ⌊log₂ max(|t_i - t_j|, 1)⌋ of each pair of events, the last if beyond.

    References:
      Zhai et al., Actions Speak Louder than Words, 2024, arXiv:2402.17152 (relative time; their buckets are
      finer, and count to the time of the event that is told).

    Example:
      >>> time_bias(jnp.arange(3.0)[:, None], jnp.array([[0, 1, 5]]))[0, 0].tolist()
      [[0.0, 0.0, 2.0], [0.0, 0.0, 2.0], [2.0, 2.0, 0.0]]
    """
    apart = jnp.abs(times[:, :, None] - times[:, None, :])
    bits = 31 - jax.lax.clz(jnp.maximum(apart, 1).astype(jnp.int32))
    return jnp.moveaxis(table[jnp.minimum(bits, len(table) - 1)], -1, 1)
