"""Changes of the logits of the next token before one is drawn: pure functions, which compose.

A token that is ruled out has the logit -inf. Each is what transformers' processor of its name does.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Num

from attnjax.ops.core.largest import largest

ONE = 0x3F800000
"""The bits of 1.0 in float32; those of numbers in [0, 1] count upwards from 0."""


def repetition_penalty(
    logits: Float[Array, "*B V"], seen: Bool[Array, "*B V"], penalty: Num[Array, ""] | float
) -> Float[Array, "*B V"]:
    """Returns logits in which tokens seen before are less likely: positive ones divided, others multiplied.

    Args:
      logits: of the next token.
      seen: the tokens that stand in the prompt or were emitted.
      penalty: above 1 for fewer repetitions.

    References:
      Keskar et al., CTRL, 2019, arXiv:1909.05858.

    Example:
      >>> repetition_penalty(jnp.array([2.0, -2.0, 2.0]), jnp.array([True, True, False]), 2.0).tolist()
      [1.0, -4.0, 2.0]
    """
    return jnp.where(seen, jnp.where(logits < 0, logits * penalty, logits / penalty), logits)


def temperature(logits: Float[Array, "*B V"], degree: Num[Array, ""] | float) -> Float[Array, "*B V"]:
    """Returns the logits divided by a temperature: below 1 the likely tokens become likelier.

    Example:
      >>> temperature(jnp.array([2.0, 1.0]), 0.5).tolist()
      [4.0, 2.0]
    """
    return logits / degree


def top_k(logits: Float[Array, "*B V"], count: int) -> Float[Array, "*B V"]:
    """Returns the logits of the `count` likeliest tokens, and of those as likely as the last of them.

    References:
      Fan et al., Hierarchical Neural Story Generation, 2018, arXiv:1805.04833.

    Example:
      >>> top_k(jnp.array([1.0, 3.0, 2.0]), 2).tolist()
      [-inf, 3.0, 2.0]
    """
    least = largest(logits, min(count, logits.shape[-1]))[0][..., -1:]
    return jnp.where(logits < least, -jnp.inf, logits)


def top_p(logits: Float[Array, "*B V"], share: Num[Array, ""] | float) -> Float[Array, "*B V"]:
    """Returns the logits of the fewest likeliest tokens that together have this share of the probability.

    Equally likely tokens stay or go together. The threshold is found by bisection, which reads the
    probabilities 30 times and takes a tenth of the time of sorting them.

    Args:
      logits: of the next token.
      share: in (0, 1].

    References:
      Holtzman et al., The Curious Case of Neural Text Degeneration, 2019, arXiv:1904.09751.

    Example:
      >>> top_p(jnp.log(jnp.array([0.5, 0.3, 0.2])), 0.6)[2].item()
      -inf
    """
    probabilities = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)

    def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) // 2
        above = probabilities > jax.lax.bitcast_convert_type(middle, jnp.float32)
        reached = jnp.sum(probabilities, axis=-1, keepdims=True, where=above) >= share
        return jnp.where(reached, middle, low), jnp.where(reached, high, middle)

    # The tokens above `low` have the share, those above `high` lack some of it: a token at `high` is needed.
    shape = (*logits.shape[:-1], 1)
    bounds = jnp.full(shape, -1, jnp.int32), jnp.full(shape, ONE, jnp.int32)
    _, high = jax.lax.fori_loop(0, 30, halve, bounds)
    # Of a distribution on one token nothing is above its probability of 1, or what rounding leaves of it.
    least = jnp.minimum(jax.lax.bitcast_convert_type(high, jnp.float32), probabilities.max(-1, keepdims=True))
    # All of it is every token: what rounding leaves of the sum says nothing.
    return jnp.where((probabilities < least) & (share < 1), -jnp.inf, logits)


def min_p(logits: Float[Array, "*B V"], share: Num[Array, ""] | float) -> Float[Array, "*B V"]:
    """Returns the logits of tokens that are at least this share as likely as the likeliest.

    Args:
      logits: of the next token.
      share: in [0, 1].

    References:
      Nguyen et al., Turning Up the Heat: Min-p Sampling, 2024, arXiv:2407.01082.

    Example:
      >>> min_p(jnp.log(jnp.array([0.5, 0.3, 0.2])), 0.5)[2].item()
      -inf
    """
    probabilities = jax.nn.softmax(logits, axis=-1)
    least = share * probabilities.max(-1, keepdims=True)
    return jnp.where(probabilities < least, -jnp.inf, logits)
