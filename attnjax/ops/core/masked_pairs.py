"""Keeping a user's score function away from masked pairs.

`where(attended, fn(…), 0)` is not enough: in the backward pass a zero cotangent times a NaN derivative of fn
is NaN, and it sums into the parameters. So masked pairs are given the score and the indices of a
pair that is attended, where fn must be well behaved.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from attnjax.ops.core.pairs import Block


class MaskedPairs(NamedTuple):
    """A stand-in for the masked pairs of each head of each batch element: an attended pair of the block.

    A head without one borrows another head's pair, and its b and h with it (`owner`, into B·N).
    """

    attended: Bool[Array, "B N t s"]
    owner: Int[Array, "B N"]
    row: Int[Array, "B N 1 1"]
    column: Int[Array, "B N 1 1"]
    any: Bool[Array, ""]

    def scores(self, scores: Float[Array, "B N t s"]) -> Float[Array, "B N t s"]:
        """Returns the scores with those of masked pairs replaced by their stand-in."""
        heads, row, column = self.owner, self.row[:, :, 0, 0], self.column[:, :, 0, 0]
        flat = jax.lax.stop_gradient(scores).reshape(-1, *scores.shape[2:])
        return jnp.where(self.attended, scores, flat[heads, row, column][:, :, None, None])

    def indices(self, at: Block) -> Block:
        """Returns the indices of each pair, those of masked ones replaced by their stand-in."""
        b, h = (jnp.broadcast_to(x[:, :, 0, 0], self.owner.shape).ravel() for x in (at.b, at.h))
        # Keys of a block may differ from query to query.
        q, k = at.q[0, 0, :, 0], jnp.broadcast_to(at.k[0, 0], self.attended.shape[2:])
        return Block(
            b[self.owner][:, :, None, None],
            h[self.owner][:, :, None, None],
            jnp.where(self.attended, at.q, q[self.row]),
            jnp.where(self.attended, at.k, k[self.row, self.column]),
        )

    def params(self, params: Any) -> Any:
        """The parameters; without gradient when the block holds no attended pair at all."""

        def guarded(p: Any) -> Any:
            if not jnp.issubdtype(jnp.asarray(p).dtype, jnp.inexact):
                return p
            return jnp.where(self.any, p, jax.lax.stop_gradient(p))

        return jax.tree.map(guarded, params)


def masked_pairs(attended: Array, shape: tuple[int, ...]) -> MaskedPairs:
    """Returns the stand-ins of the masked pairs of a block with this mask and shape [B, N, t, s]."""
    attended = jnp.broadcast_to(attended, shape)
    flat = attended.reshape(-1, shape[2] * shape[3])
    alive = flat.any(axis=1)
    owner = jnp.where(alive, jnp.arange(flat.shape[0]), jnp.argmax(alive))
    pair = jnp.argmax(flat, axis=1)[owner].reshape(shape[0], shape[1], 1, 1)
    return MaskedPairs(attended, owner.reshape(shape[:2]), pair // shape[3], pair % shape[3], alive.any())
