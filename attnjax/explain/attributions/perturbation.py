"""Methods that ask the model about the input with some of its tokens left out."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from attnjax.config import require
from attnjax.explain.attributions.attribution import Attribution, method
from attnjax.explain.attributions.gradients import baseline_vectors
from attnjax.explain.question import Question

LARGEST_EXACT = 16
"""The most tokens of which all 2^T coalitions are asked."""
_LIME_WIDTH = 25.0


def values_of(
    question: Question, kept: Bool[Array, "M B T"], baseline: Any = None, at_once: int = 32
) -> Float[Array, "M B"]:
    """Returns the number with only the kept tokens, the others' vectors being those of the baseline.

    Args:
      question: from `ask`.
      kept: True where a token stays; padding always does.
      baseline: as in `integrated_gradients`.
      at_once: coalitions that the model reads together.
    """
    vectors, none = question.vectors(), baseline_vectors(question, baseline)

    def value(kept: Array) -> Array:
        return question.value_of(jnp.where((kept | ~question.present)[..., None], vectors, none))

    return jax.lax.map(value, kept, batch_size=min(at_once, kept.shape[0]))


@method("occlusion", "perturbation", paper="1311.2901", static=("at_once",))
def occlusion(question: Question, baseline: Any = None, at_once: int = 32) -> Attribution:
    """Returns occlusion: how much the number falls where one token is left out.

    Reference:
      Zeiler & Fergus, Visualizing and Understanding Convolutional Networks, 2013, arXiv:1311.2901.
    """
    batch, tokens = question.present.shape
    one = ~jnp.eye(tokens, dtype=bool)
    kept = jnp.broadcast_to(one[:, None], (tokens, batch, tokens))
    value = question.value()
    scores = value[:, None] - values_of(question, kept, baseline, at_once).T
    return Attribution(jnp.where(question.present, scores, 0), question.present, "occlusion", value)


@method("shapley", "perturbation", static=("at_once",))
def shapley(question: Question, baseline: Any = None, at_once: int = 32) -> Attribution:
    """Returns the exact Shapley values of the tokens, of all 2^T coalitions.

    Raises:
      InputError: there are more than 16 tokens.

    Reference:
      Shapley, A Value for n-Person Games, 1953.
    """
    batch, tokens = question.present.shape
    every = _all_coalitions(tokens)
    values = values_of(question, _for_rows(every, batch), baseline, at_once)
    numbers, sizes = np.arange(2**tokens), every.sum(1)
    share = np.array([_share(tokens, size) for size in range(tokens)])
    scores = []
    for token in range(tokens):
        without = numbers[~every[:, token]]
        gain = values[without | (1 << token)] - values[without]
        scores.append(jnp.asarray(share[sizes[without]], values.dtype) @ gain)
    found = jnp.where(question.present, jnp.stack(scores, axis=1), 0)
    return Attribution(found, question.present, "shapley", values[-1], values[0])


@method("kernel_shap", "perturbation", paper="1705.07874", static=("samples", "at_once"))
def kernel_shap(
    question: Question,
    samples: int | None = None,
    baseline: Any = None,
    seed: int = 0,
    at_once: int = 32,
) -> Attribution:
    """Returns KernelSHAP: the additive game that fits the coalitions best under Shapley's kernel.

    Args:
      question: from `ask`.
      samples: coalitions to draw, each with its complement; None, or as many as there are: all of them,
        which gives the exact Shapley values.
      baseline: as in `integrated_gradients`.
      seed: draws the coalitions.
      at_once: coalitions that the model reads together.

    Raises:
      InputError: all coalitions of more than 16 tokens are asked for, or fewer than 2 samples.

    Reference:
      Lundberg & Lee, A Unified Approach to Interpreting Model Predictions, 2017, arXiv:1705.07874.
    """
    batch, tokens = question.present.shape
    require(samples is None or samples >= 2, f"samples is {samples}: expected 2 or more")
    if samples is None or (tokens <= LARGEST_EXACT and samples >= 2**tokens - 2):
        every = _all_coalitions(tokens)[1:-1]
        kept: Any = _for_rows(every, batch)
        kernel = np.array([_kernel(tokens, size) for size in range(1, tokens)])[every.sum(1) - 1]
    else:
        kept = jnp.broadcast_to(_drawn(tokens, samples, seed)[:, None], (2 * (samples // 2), batch, tokens))
        kernel = np.ones(kept.shape[0])
    kernel = jnp.asarray(kernel / max(kernel.sum(), 1e-30), jnp.float32)
    value, none = _ends(question, baseline)
    if tokens == 1:
        found = (value - none)[:, None]
    else:
        gains = values_of(question, kept, baseline, at_once) - none
        found = jax.vmap(_fit, in_axes=(1, None, 1, 0))(kept, kernel, gains, value - none)
    found = jnp.where(question.present, found, 0)
    return Attribution(found, question.present, "kernel_shap", value, none)


@method("lime", "perturbation", paper="1602.04938", static=("samples", "at_once"))
def lime(
    question: Question,
    samples: int = 1000,
    baseline: Any = None,
    seed: int = 0,
    ridge: float = 1.0,
    at_once: int = 32,
) -> Attribution:
    """Returns LIME: the weights of a ridge regression of the number on which tokens are left in.

    As in its package for texts, between 1 and all tokens are left out, and a sample that keeps k of n weighs
    exp(-(100·(1 - √(k/n)))² / 25²)^½. `extra["intercept"]` is [B].

    Reference:
      Ribeiro et al., "Why Should I Trust You?", 2016, arXiv:1602.04938.
    """
    there = question.present
    keys = jax.random.split(jax.random.key(seed), 2)
    count = there.sum(-1)
    left_out = 1 + jnp.floor(jax.random.uniform(keys[0], (samples - 1, there.shape[0])) * count).astype(int)
    order = jnp.where(there, jax.random.uniform(keys[1], (samples - 1, *there.shape)), 2)
    rank = jnp.argsort(jnp.argsort(order, axis=-1), axis=-1)
    kept = jnp.concatenate([jnp.ones((1, *there.shape), bool), rank >= left_out[..., None]])
    values = values_of(question, kept, baseline, at_once)
    size = jnp.where(there, kept, False).sum(-1)
    distance = 100 * (1 - jnp.sqrt(size / count))
    kernel = jnp.sqrt(jnp.exp(-(distance**2) / _LIME_WIDTH**2))
    scores, intercept = jax.vmap(_ridge, in_axes=(1, 1, 1, None))(kept & there, kernel, values, ridge)
    scores = jnp.where(there, scores, 0)
    return Attribution(scores, there, "lime", question.value(), extra={"intercept": intercept})


def _ends(question: Question, baseline: Any) -> tuple[Array, Array]:
    kept = jnp.zeros(question.present.shape, bool)
    value, none = values_of(question, jnp.stack([~kept, kept]), baseline)
    return value, none


def _fit(
    kept: Bool[Array, "M T"], kernel: Float[Array, " M"], gains: Float[Array, " M"], total: Float[Array, ""]
) -> Float[Array, " T"]:
    """Returns the weighted least squares of gains on the coalitions, whose weights sum to the total."""
    kept = kept.astype(gains.dtype)
    tokens = kept.shape[1]
    # One token is what the sum leaves of the others.
    free = kept[:, :-1] - kept[:, -1:]
    left = free.T * kernel @ free
    right = free.T @ (kernel * (gains - kept[:, -1] * total))
    found = jnp.linalg.lstsq(left, right, rcond=tokens * float(jnp.finfo(gains.dtype).eps))[0]
    return jnp.append(found, total - found.sum())


def _ridge(
    kept: Bool[Array, "M T"], kernel: Float[Array, " M"], values: Float[Array, " M"], strength: Any
) -> tuple[Float[Array, " T"], Float[Array, ""]]:
    kept = kept.astype(values.dtype)
    share = kernel / kernel.sum()
    center, middle = share @ kept, share @ values
    apart = kept - center
    left = apart.T * kernel @ apart + strength * jnp.eye(kept.shape[1])
    weights = jnp.linalg.solve(left, apart.T @ (kernel * (values - middle)))
    return weights, middle - center @ weights


def _all_coalitions(tokens: int) -> np.ndarray:
    """Returns all [2^T, T]; the number of a row has the bits of its tokens."""
    require(
        tokens <= LARGEST_EXACT,
        f"tokens: {tokens} came, expected {LARGEST_EXACT} at most; kernel_shap takes samples",
    )
    return (np.arange(2**tokens)[:, None] >> np.arange(tokens)) & 1 == 1


def _for_rows(coalitions: np.ndarray, batch: int) -> Bool[Array, "M B T"]:
    return jnp.broadcast_to(jnp.asarray(coalitions)[:, None], (len(coalitions), batch, coalitions.shape[1]))


def _drawn(tokens: int, samples: int, seed: Any) -> Bool[Array, "M T"]:
    """Returns coalitions drawn by Shapley's kernel, each followed by its complement."""
    sizes = np.arange(1, tokens)
    chance = jnp.asarray(1 / (sizes * (tokens - sizes)), jnp.float32)
    keys = jax.random.split(jax.random.key(seed), 2)
    size = jax.random.choice(keys[0], jnp.asarray(sizes), (samples // 2,), p=chance / chance.sum())
    rank = jnp.argsort(jax.random.uniform(keys[1], (samples // 2, tokens)), axis=-1)
    kept = rank < size[:, None]
    return jnp.stack([kept, ~kept], axis=1).reshape(-1, tokens)


def _share(tokens: int, size: int) -> float:
    """Returns the share of the orders in which a token comes after just these `size` others."""
    return 1 / (tokens * math.comb(tokens - 1, size))


def _kernel(tokens: int, size: int) -> float:
    """Returns Shapley's kernel of a coalition."""
    return (tokens - 1) / (math.comb(tokens, size) * size * (tokens - size))
