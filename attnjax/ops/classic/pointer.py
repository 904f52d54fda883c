"""Pointer-generator: a word of the vocabulary, or a copy of a word of the source."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from attnjax.ops.core.checks import count, floats, positions
from attnjax.ops.core.dtypes import accumulation_dtype


def pointer_distribution(
    logits: Float[Array, "*B T V"],
    weights: Float[Array, "*B T S"],
    gate: Float[Array, "*B T"],
    source: Int[Array, "*B S"],
    *,
    size: int,
) -> Float[Array, "*B T E"]:
    """Returns the distribution over the vocabulary and the words of the source that are not in it.

        P(w) = g·softmax(logits)_w + (1 - g)·Σ_{j: source_j = w} a_j,  g = σ(gate)

    Args:
      logits: of the V words of the vocabulary.
      weights: a, the attention to the source; a row sums to 1.
      gate: the logit of g, of generating.
      source: the words of the source; those outside of the vocabulary count from V on. Padding is any word.
      size: E, V and the most words of a source outside of it.

    Returns:
      P, in float32 or better.

    Raises:
      TypeError: an argument is of another type.
      ValueError: shapes do not fit, or E is below V.

    References:
      See et al., Get To The Point: Summarization with Pointer-Generator Networks, 2017 (arXiv:1704.04368).

    Example:
      >>> weights, source = jnp.array([[0.25, 0.75]]), jnp.array([0, 2])
      >>> print(pointer_distribution(jnp.zeros((1, 2)), weights, jnp.zeros(1), source, size=3))
      [[0.375 0.25  0.375]]
    """
    logits, weights, gate, source = _checked(logits, weights, gate, source)
    if count("size", size) < logits.shape[-1]:
        raise ValueError(f"size is {size}: expected at least the {logits.shape[-1]} words of logits (V)")
    generate = jax.nn.sigmoid(gate)[..., None]
    vocabulary = generate * jax.nn.softmax(logits)
    more = [(0, 0)] * (logits.ndim - 1) + [(0, size - logits.shape[-1])]
    return jnp.pad(vocabulary, more) + _per_word((1 - generate) * weights, source, size)


def pointer_log_probs(
    logits: Float[Array, "*B T V"],
    weights: Float[Array, "*B T S"],
    gate: Float[Array, "*B T"],
    source: Int[Array, "*B S"],
) -> Float[Array, "*B T V"]:
    """Returns log P of `pointer_distribution` where source and target share the vocabulary.

    The sum is taken of logarithms, so that a word too unlikely for P itself still has a gradient. Copies of a
    word outside of the vocabulary are left out.

    Args:
      logits: as in `pointer_distribution`.
      weights: as there; they are not negative.
      gate: as there.
      source: the words of the source. The weights of padding are 0.

    Returns:
      log P, in float32 or better.

    Raises:
      TypeError: an argument is of another type.
      ValueError: shapes do not fit.

    References:
      See et al., Get To The Point: Summarization with Pointer-Generator Networks, 2017 (arXiv:1704.04368).

    Example:
      >>> weights, source = jnp.array([[0.25, 0.75]]), jnp.array([0, 1])
      >>> print(jnp.exp(pointer_log_probs(jnp.zeros((1, 2)), weights, jnp.zeros(1), source)))
      [[0.375 0.625]]
    """
    logits, weights, gate, source = _checked(logits, weights, gate, source)
    copied = _per_word(weights, source, logits.shape[-1])
    some = copied > 0
    copy = jnp.where(some, jnp.log(jnp.where(some, copied, 1)), -jnp.inf)
    generate = jax.nn.log_sigmoid(gate)[..., None] + jax.nn.log_softmax(logits)
    return jnp.logaddexp(generate, jax.nn.log_sigmoid(-gate)[..., None] + copy)


def pointer_loss(
    logits: Float[Array, "*B T V"],
    weights: Float[Array, "*B T S"],
    gate: Float[Array, "*B T"],
    source: Int[Array, "*B S"],
    target: Int[Array, "*B T"],
    *,
    mask: Bool[Array, "*B T"] | None = None,
    least: float = 1e-20,
) -> Float[Array, ""]:
    """Returns the mean of -log(P(target) + least), without the distribution P of `pointer_distribution`.

    Args:
      logits: as in `pointer_distribution`.
      weights: as there.
      gate: as there.
      source: as there.
      target: the words that came, which count as those of the source.
      mask: the targets that count; None: all.
      least: what keeps the loss of a word that is neither in the vocabulary nor in the source finite.

    Returns:
      The loss, in float32 or better; 0 where no target counts.

    Raises:
      TypeError: an argument is of another type.
      ValueError: shapes do not fit.

    References:
      See et al., Get To The Point: Summarization with Pointer-Generator Networks, 2017 (arXiv:1704.04368).

    Example:
      >>> weights, source = jnp.array([[0.25, 0.75]]), jnp.array([0, 2])
      >>> loss = pointer_loss(jnp.zeros((1, 2)), weights, jnp.zeros(1), source, jnp.array([2]))
      >>> round(float(jnp.exp(-loss)), 3)
      0.375
    """
    logits, weights, gate, source = _checked(logits, weights, gate, source)
    target = positions("target", target)
    if target.shape != gate.shape:
        raise ValueError(
            f"target has shape {list(target.shape)}: expected {list(gate.shape)} (*B, T), as gate"
        )
    words = logits.shape[-1]
    known = (target >= 0) & (target < words)
    at = jnp.take_along_axis(jax.nn.log_softmax(logits), jnp.where(known, target, 0)[..., None], axis=-1)[
        ..., 0
    ]
    copied = jnp.where(source[..., None, :] == target[..., None], weights, 0).sum(-1)
    some = copied > 0
    terms = [
        jnp.where(known, jax.nn.log_sigmoid(gate) + at, -jnp.inf),
        jnp.where(some, jax.nn.log_sigmoid(-gate) + jnp.log(jnp.where(some, copied, 1)), -jnp.inf),
        jnp.full_like(gate, jnp.log(least)),
    ]
    losses = -jax.nn.logsumexp(jnp.stack(terms), axis=0)
    counted = jnp.ones_like(known) if mask is None else jnp.broadcast_to(mask, known.shape)
    return jnp.where(counted, losses, 0).sum() / jnp.maximum(counted.sum(), 1)


def _per_word(weights: Array, source: Array, size: int) -> Array:
    """Returns the sums [*B, T, E] of the weights of each of `size` words."""

    def summed(weights: Array, source: Array) -> Array:
        return jnp.zeros((weights.shape[0], size), weights.dtype).at[:, source].add(weights, mode="drop")

    # A word below 0 would count from the end.
    places = jnp.where(source < 0, size, source).reshape(-1, source.shape[-1])
    sums = jax.vmap(summed)(weights.reshape(-1, *weights.shape[-2:]), places)
    return sums.reshape(*weights.shape[:-1], size)


def _checked(logits: Array, weights: Array, gate: Array, source: Array) -> tuple[Array, Array, Array, Array]:
    logits, weights, gate = (
        floats(name, x) for name, x in (("logits", logits), ("weights", weights), ("gate", gate))
    )
    source, dtype = positions("source", source), accumulation_dtype(logits, weights, gate)
    batch, keys = logits.shape[:-2], source.shape[-1:]
    fits = weights.shape == (*gate.shape, *keys) and logits.shape[:-1] == gate.shape and gate.ndim > 0
    if not fits or source.shape != (*batch, *keys):
        raise ValueError(
            f"logits {list(logits.shape)} (*B, T, V), weights {list(weights.shape)} (*B, T, S), gate "
            f"{list(gate.shape)} (*B, T), source {list(source.shape)} (*B, S): sizes differ"
        )
    return logits.astype(dtype), weights.astype(dtype), gate.astype(dtype), source
