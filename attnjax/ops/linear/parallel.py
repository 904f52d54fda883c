"""The recurrence without erasing as weights of all pairs of tokens: quadratic, and easy to look at."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.linear.tokens import Read, Tokens


def parallel(
    tokens: Tokens, state: Float[Array, "H V"], read: Read
) -> tuple[Float[Array, "T G V"], Float[Array, "H V"]]:
    """Returns out and the last state of one head, in memory quadratic in T."""
    given = jnp.zeros_like(tokens.key[:, 0]) if tokens.decay is None else tokens.decay
    decay = given[:, None] if given.ndim == 1 else given
    total = jnp.exp(decay.sum(0))[:, None]
    out = _weights(tokens, decay, read) @ tokens.value
    upto = jnp.exp(jnp.cumsum(decay, 0) - (0 if read == "after" else decay))
    out = out + (tokens.query * upto[:, None]) @ state
    rest = jnp.exp(jnp.cumsum(decay[::-1], 0)[::-1] - decay)
    return out, total * state + (tokens.key * rest).T @ tokens.value


def _weights(tokens: Tokens, decay: Float[Array, "T D"], read: Read) -> Float[Array, "T G T"]:
    """Σ_h query_ih key_jh exp(Σ of the decays after j up to i), 0 where j is not read."""
    if decay.shape[1] == 1:
        return (tokens.query @ tokens.key.T) * _kept(decay[:, 0], read)[:, None]

    @jax.checkpoint
    def add(weights: Array, channel: tuple[Array, Array, Array]) -> tuple[Array, None]:
        query, key, decay = channel
        return weights + query[..., None] * key[None, None] * _kept(decay, read)[:, None], None

    channels = jnp.moveaxis(tokens.query, -1, 0), tokens.key.T, decay.T
    zeros = jnp.zeros((*tokens.query.shape[:2], tokens.key.shape[0]), tokens.key.dtype)
    return jax.lax.scan(add, zeros, channels)[0]


def _kept(decay: Float[Array, " T"], read: Read) -> Float[Array, "T T"]:
    """Returns the share that token i still reads of what j wrote.

    It is from sums of the decays between them, without differences.
    """
    length = decay.shape[0]
    later = jnp.tri(length, k=-1, dtype=bool)
    sums = jnp.cumsum(jnp.where(later, decay[:, None], 0), axis=0)
    if read == "before":
        sums, allowed = jnp.pad(sums[:-1], ((1, 0), (0, 0))), later
    else:
        allowed = jnp.tri(length, dtype=bool)
    return jnp.exp(jnp.where(allowed, sums, -jnp.inf))
