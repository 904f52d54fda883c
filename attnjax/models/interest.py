"""The Deep Interest Network, in which a candidate chooses what of a history counts."""

from collections.abc import Sequence
from itertools import pairwise

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.models.padding import inside
from attnjax.models.recommender_config import InterestConfig


class InterestNetwork(nnx.Module):
    """DIN: a candidate e reads the past items h by a(h, e), without a softmax, and is scored beside them.

        score(e) = f([u, e, u ⊙ e]),  u = Σ_j a(h_j, e)·h_j,  a(h, e) = g([h, e, h - e, h ⊙ e])

    f and g are layers with SiLU, in the place of the paper's Dice. A sum keeps the strength of an interest,
    which weights that sum to 1 would lose.

    Args:
      config: its shape.
      items: the number of items.

    References:
      Zhou et al., Deep Interest Network for Click-Through Rate Prediction, 2017, arXiv:1706.06978.

    Example:
      >>> model = InterestNetwork(InterestConfig(dim=4), items=7, rngs=nnx.Rngs(0))
      >>> model(jnp.array([[3, 1, 0]]), jnp.array([[5, 6]]), lengths=jnp.array([2])).shape
      (1, 2)
    """

    def __init__(self, config: InterestConfig, *, items: int, rngs: nnx.Rngs) -> None:
        self.config, self.items = config, items
        start = nnx.initializers.normal(config.dim**-0.5)
        self.embedding = nnx.Embed(items, config.dim, embedding_init=start, rngs=rngs)
        self.unit = nnx.List(_layers([4 * config.dim, *config.unit_hidden, 1], rngs))
        self.head = nnx.List(_layers([3 * config.dim, *config.hidden, 1], rngs))
        self.bias = nnx.Param(jnp.zeros((items,)))

    def __call__(
        self, items: Int[Array, "B T"], candidates: Int[Array, "B M"], *, lengths: Int[Array, " B"]
    ) -> Float[Array, "B M"]:
        """Returns the scores of candidates after histories."""
        past, own = self.embedding(items), self.embedding(candidates)
        weights = self.weights(past, own, lengths)
        read = jnp.einsum("bmt,btd->bmd", weights, past)
        found = _through(self.head, jnp.concatenate([read, own, read * own], axis=-1))
        return found[..., 0] + self.bias[...][candidates]

    def weights(
        self, past: Float[Array, "B T D"], own: Float[Array, "B M D"], lengths: Int[Array, " B"]
    ) -> Float[Array, "B M T"]:
        """Returns a(h, e) of past items and candidates; 0 for padding."""
        h, e = jnp.broadcast_arrays(past[:, None], own[:, :, None])
        pairs = jnp.concatenate([h, e, h - e, h * e], axis=-1)
        there = inside(lengths, past.shape[1])[:, None]
        return jnp.where(there, _through(self.unit, pairs)[..., 0], 0)


def _layers(widths: Sequence[int], rngs: nnx.Rngs) -> list[nnx.Linear]:
    return [nnx.Linear(a, b, rngs=rngs) for a, b in pairwise(widths)]


def _through(layers: Sequence[nnx.Linear], x: Float[Array, "*B D"]) -> Float[Array, "*B E"]:
    for layer in layers[:-1]:
        x = jax.nn.silu(layer(x))
    return layers[-1](x)
