"""Methods that differentiate by the vectors of the tokens."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attnjax.config import require
from attnjax.explain.attributions.attribution import Attribution, method
from attnjax.explain.question import Question

Rule = Literal["gauss_legendre", "left", "right", "middle", "trapezoid"]


@method("gradient_x_input", "gradients")
def gradient_x_input(question: Question) -> Attribution:
    """Returns the gradient by each token's vector times that vector."""
    vectors = question.vectors()
    value, gradient = gradient_at(question, vectors)
    scores = _of_tokens(question, gradient * vectors)
    return Attribution(scores, question.present, "gradient_x_input", value)


@method("integrated_gradients", "gradients", paper="1703.01365", static=("steps", "rule"))
def integrated_gradients(
    question: Question, baseline: Any = None, steps: int = 32, rule: Rule = "gauss_legendre"
) -> Attribution:
    """Returns integrated gradients: (x - x⁰) times the mean gradient on the straight line from x⁰ to x.

    Args:
      question: from `ask`.
      baseline: x⁰: a token id, ids [B, T], vectors [B, T, W], or None for vectors of 0.
      steps: the number of points on the line.
      rule: how they stand and weigh.

    Raises:
      InputError: there is no step, or the rule is unknown.

    Reference:
      Sundararajan et al., Axiomatic Attribution for Deep Networks, 2017, arXiv:1703.01365.
    """
    vectors, start = question.vectors(), baseline_vectors(question, baseline)
    places, shares = quadrature(steps, rule)

    def add(total: Array, point: tuple[Array, Array]) -> tuple[Array, None]:
        place, share = point
        return total + share * gradient_at(question, start + place * (vectors - start))[1], None

    total, _ = jax.lax.scan(add, jnp.zeros_like(vectors), (jnp.asarray(places), jnp.asarray(shares)))
    scores = _of_tokens(question, total * (vectors - start))
    ends = question.value(), question.value_of(start)
    return Attribution(scores, question.present, "integrated_gradients", *ends)


@method("smooth_grad", "gradients", paper="1706.03825", static=("samples", "times_input"))
def smooth_grad(
    question: Question,
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
    times_input: bool = True,
) -> Attribution:
    """Returns SmoothGrad: the mean gradient under noise of the vectors, times the vectors.

    Args:
      question: from `ask`.
      samples: the number of draws.
      noise: the standard deviation, as a share of the largest less the smallest entry of an input's vectors.
      seed: draws the noise.
      times_input: False gives the sums of the gradient itself.

    Reference:
      Smilkov et al., SmoothGrad: removing noise by adding noise, 2017, arXiv:1706.03825.
    """
    vectors = question.vectors()
    mean = smoothed(question, vectors, samples, noise, seed)
    scores = _of_tokens(question, mean * vectors if times_input else mean)
    return Attribution(scores, question.present, "smooth_grad", question.value())


def smoothed(
    question: Question, vectors: Float[Array, "B T W"], samples: int, noise: Any, seed: Any
) -> Float[Array, "B T W"]:
    """Returns the mean gradient over draws of noise; the spread counts tokens and no padding."""
    there = question.present[..., None]
    most = jnp.where(there, vectors, -jnp.inf).max((1, 2), keepdims=True)
    least = jnp.where(there, vectors, jnp.inf).min((1, 2), keepdims=True)

    def add(total: Array, key: Array) -> tuple[Array, None]:
        draw = noise * (most - least) * jax.random.normal(key, vectors.shape, vectors.dtype)
        return total + gradient_at(question, vectors + draw)[1], None

    keys = jax.random.split(jax.random.key(seed), samples)
    total, _ = jax.lax.scan(add, jnp.zeros_like(vectors), keys)
    return total / samples


def gradient_at(
    question: Question, vectors: Float[Array, "B T W"]
) -> tuple[Float[Array, " B"], Float[Array, "B T W"]]:
    """Returns the value at these vectors and its gradient by them."""
    value, back = jax.vjp(question.value_of, vectors)
    return value, back(jnp.ones_like(value))[0]


def baseline_vectors(question: Question, baseline: Any) -> Float[Array, "B T W"]:
    """Returns the vectors that stand for no information."""
    if baseline is None:
        return jnp.zeros_like(question.vectors())
    baseline = jnp.asarray(baseline)
    if not jnp.issubdtype(baseline.dtype, jnp.integer):
        shape = question.vectors().shape
        require(baseline.shape == shape, f"baseline {list(baseline.shape)}: expected vectors {list(shape)}")
        return baseline
    require(
        question.site.endswith(".tokens"), "baseline is a token: the model reads no tokens, expected vectors"
    )
    tokens = question.tokens
    return question.with_tokens(jnp.broadcast_to(baseline, tokens.shape).astype(tokens.dtype)).vectors()


def quadrature(steps: int, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
    """Returns places in [0, 1] and their weights, which sum to 1.

    Example:
      >>> [x.tolist() for x in quadrature(2, "trapezoid")]
      [[0.0, 1.0], [0.5, 0.5]]
    """
    require(steps >= 1, f"steps is {steps}: expected 1 or more")
    even = np.arange(steps) / steps, np.full(steps, 1 / steps)
    if rule == "gauss_legendre":
        places, weights = np.polynomial.legendre.leggauss(steps)
        even = (places + 1) / 2, weights / 2
    elif rule == "trapezoid":
        require(steps > 1, "steps is 1: a trapezoid needs 2 or more")
        weights = np.full(steps, 1.0)
        weights[[0, -1]] = 0.5
        even = np.linspace(0, 1, steps), weights / weights.sum()
    else:
        shifts = {"left": 0.0, "middle": 0.5, "right": 1.0}
        known = ("gauss_legendre", *shifts, "trapezoid")
        require(rule in shifts, f"rule is {rule!r}: expected one of {', '.join(known)}")
        even = even[0] + shifts[rule] / steps, even[1]
    return even[0].astype(np.float32), even[1].astype(np.float32)


def _of_tokens(question: Question, products: Float[Array, "B T W"]) -> Float[Array, "B T"]:
    return jnp.where(question.present, products.sum(-1), 0)
