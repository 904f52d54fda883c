"""The recurrence token by token: decoding, and what the other forms are compared with."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.linear.problem import Read, Recurrence


def recurrent(r: Recurrence, read: Read) -> tuple[Float[Array, "G T V"], Float[Array, "H V"]]:
    """out and the last state of one head; a gradient keeps the state of every token."""

    def step(state: Array, token: Recurrence) -> tuple[Array, Array]:
        before = state
        if token.decay is not None:
            # A decay per head is a scalar here, one per channel is [H].
            state = jnp.exp(token.decay)[..., None] * state
        if token.erase is not None:
            written = token.key if token.write is None else token.write
            state = state - jnp.outer(written, token.erase @ before)
        state = state + jnp.outer(token.key, token.value)
        return state, token.query @ (state if read == "after" else before)

    tokens = r._replace(query=jnp.swapaxes(r.query, 0, 1), state=None)
    state, out = jax.lax.scan(step, r.state, tokens)
    return jnp.swapaxes(out, 0, 1), state
