"""Slot attention: slots that compete for the members of a set."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from attnjax.nn.attention.base import require_width
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.placing import MaskLike, as_mask
from attnjax.nn.axes import named
from attnjax.nn.feed_forward import FeedForward
from attnjax.nn.norm import make_norm
from attnjax.nn.projection import into_heads
from attnjax.ops.core.checks import count
from attnjax.ops.core.dtypes import accumulation_dtype

EPSILON = 1e-8
"""A share of every member of the set that goes to every slot, so that none is empty."""


class SlotAttention(nnx.Module):
    """Slots that read a set round after round: softmax over the slots, then a mean over the set.

    a_ks = softmax_k(q_k·k_s/√D) + ε, u_k = Σ_s a_ks v_s / Σ_s a_ks, slots = GRU(u, slots) and
    slots + feed_forward(norm(slots)), where q are of the normed slots, k and v of the normed set.

    Args:
      dim: D, of the slots.
      heads: not used.
      slots: K.
      iterations: rounds.
      context_dim: C, of the set; None: D.
      learned: whether each slot starts at a vector of its own, where they start at random otherwise.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: A size is below 1.

    References:
      Locatello et al., Object-Centric Learning with Slot Attention, 2020, arXiv:2006.15055.

    Example:
      >>> layer = SlotAttention(8, 1, slots=3, rngs=nnx.Rngs(0))
      >>> out, _, weights = layer(jnp.ones((2, 50, 8)), key=jax.random.key(0))
      >>> out.shape, weights.shape
      ((2, 3, 8), (2, 1, 3, 50))
    """

    has_weights = True

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        slots: int = 7,
        iterations: int = 3,
        context_dim: int | None = None,
        learned: bool = False,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.dim, self.slots, self.iterations = dim, count("slots", slots), count("iterations", iterations)
        self.context_dim, self.learned = dim if context_dim is None else context_dim, learned
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}

        def drawn(rows: int) -> nnx.Param[Array]:
            start = nnx.initializers.xavier_uniform()(rngs.params(), (rows, dim), param_dtype)
            return nnx.Param(start, **named("slots", "embed"))

        self.mean = drawn(slots if learned else 1)
        self.log_spread: nnx.Param[Array] | None = nnx.data(None if learned else drawn(1))
        self.set_norm = make_norm("layer", self.context_dim, **common)
        self.slot_norm, self.feed_forward_norm = (make_norm("layer", dim, **common) for _ in range(2))
        self.query = into_heads(dim, {"embed": dim}, bias=False, **common)
        self.key, self.value = (
            into_heads(self.context_dim, {"embed": dim}, bias=False, **common) for _ in range(2)
        )
        self.of_update, self.of_slot = (
            into_heads(dim, {"gates": 3, "embed": dim}, **common) for _ in range(2)
        )
        self.feed_forward = FeedForward(dim, 2 * dim, **common)

    def __call__(
        self,
        x: Float[Array, "*B S C"],
        *,
        mask: MaskLike | None = None,
        key: Key[Array, ""] | None = None,
    ) -> AttentionOutput:
        """Returns the slots, and as weights [*B, 1, K, S] the shares a_ks of the last round.

        Args:
          x: the set.
          mask: of what each slot sees of it, K×S; lengths(key=…) for padding.
          key: draws where the slots start; None where they are learned.

        Raises:
          ValueError: x is not C wide; a key is missing, or given where the slots are learned.
        """
        require_width("x", x, self.context_dim)
        if (key is None) != self.learned:
            raise ValueError(
                f"key is {'missing' if key is None else 'given'}: the slots start "
                + ("at learned vectors" if self.learned else "at random")
            )
        batch, size = x.shape[:-2], x.shape[-2]
        seen = (
            None if mask is None else as_mask(mask).materialize(self.slots, size, batch=batch)[..., 0, :, :]
        )
        if seen is not None:
            x = jnp.where(seen.any(-2)[..., None], x, 0)
        normed = self.set_norm(x)
        keys, values = self.key(normed), self.value(normed)
        slots = self._start((*batch, self.slots, self.dim), key).astype(values.dtype)
        weights = jnp.zeros(())
        for _ in range(self.iterations):
            query = self.query(self.slot_norm(slots))
            weights = _shares(query, keys, seen)
            total = weights.sum(-1, keepdims=True)
            update = (weights / jnp.where(total == 0, 1, total)).astype(values.dtype) @ values
            slots = self._moved(update, slots)
            slots = slots + self.feed_forward(self.feed_forward_norm(slots))
        return AttentionOutput(slots, None, weights[..., None, :, :])

    def _start(self, shape: tuple[int, ...], key: Array | None) -> Array:
        mean = self.mean[...]
        if key is None or self.log_spread is None:
            return jnp.broadcast_to(mean, shape)
        return mean + jnp.exp(self.log_spread[...]) * jax.random.normal(key, shape, mean.dtype)

    def _moved(self, update: Float[Array, "*B K D"], slots: Float[Array, "*B K D"]) -> Float[Array, "*B K D"]:
        """Returns the slots after a GRU cell."""
        new, old = self.of_update(update), self.of_slot(slots)
        reset, kept = (jax.nn.sigmoid(new[..., i, :] + old[..., i, :]) for i in range(2))
        state = jnp.tanh(new[..., 2, :] + reset * old[..., 2, :])
        return (1 - kept) * state + kept * slots


def _shares(query: Float[Array, "*B K D"], keys: Float[Array, "*B S D"], seen: Array | None) -> Array:
    """Returns the shares [*B, K, S] of each member of the set that go to the slots which see it."""
    wide = accumulation_dtype(query)
    scores = (query.astype(wide) @ jnp.swapaxes(keys.astype(wide), -1, -2)) * query.shape[-1] ** -0.5
    if seen is None:
        return jax.nn.softmax(scores, axis=-2) + EPSILON
    scores = jnp.where(seen, scores, -jnp.inf)
    most = jax.lax.stop_gradient(scores.max(-2, keepdims=True))
    powers = jnp.exp(scores - jnp.where(jnp.isneginf(most), 0, most))
    total = powers.sum(-2, keepdims=True)
    return jnp.where(seen, powers / jnp.where(total == 0, 1, total) + EPSILON, 0)
