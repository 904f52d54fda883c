"""The recurrence token by token: decoding, and what the other forms are compared with."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.ranks import of_rank
from attnjax.ops.linear.tokens import Read, Tokens


def recurrent(
    tokens: Tokens, state: Float[Array, "H V"], read: Read
) -> tuple[Float[Array, "T G V"], Float[Array, "H V"]]:
    """Returns out and the last state of one head; a gradient keeps the state of every token."""

    def step(before: Array, token: Tokens) -> tuple[Array, Array]:
        # A decay per head is a scalar here, one per channel is [H].
        state = before if token.decay is None else of_rank(jnp.exp(token.decay)[..., None], 2) * before
        if token.erase is not None:
            written = token.key if token.write is None else token.write
            state = state - jnp.outer(written, token.erase @ before)
        state = state + jnp.outer(token.key, token.value)
        return state, token.query @ (state if read == "after" else before)

    state, out = jax.lax.scan(step, state, tokens)
    return out, state
