"""MesaNet: the answer of the least-squares fit to all keys and values so far."""

from collections.abc import Callable
from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.checks import count
from attnjax.ops.core.node import varying
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.linear.attention import linear_recurrence
from attnjax.ops.linear.call import log_decay
from attnjax.ops.linear.members.common import (
    Options,
    at_least_float32,
    entrance,
    known_arguments,
    not_negative,
    parameter,
    passed,
    per_head,
    refuse_shards,
)


class MesaState(NamedTuple):
    """Sums of β k kᵀ and of β k vᵀ, with decay."""

    covariance: Float[Array, "*B K H H"]
    memory: Float[Array, "*B K H V"]


@known_arguments
def mesa(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    decay: Float[Array, "*B T K"],
    strength: Float[Array, "*B T K"],
    ridge: Float[Array, "K H"],
    iterations: int = 30,
    **options: Unpack[Options],
) -> Any:
    """MesaNet: the best linear map from keys to values so far, asked by the query.

        o_t = G_tᵀ (C_t + Λ)⁻¹ q_t
        C_t = e^{g_t} C_{t-1} + β_t k_t k_tᵀ,  G_t = e^{g_t} G_{t-1} + β_t k_t v_tᵀ

    The inverse is that of conjugate gradients for all tokens at once, each step one pass of the recurrence.
    H steps are exact but for rounding, which a small ridge makes large. Gradients are those of the exact
    inverse.

    Other arguments, the result and errors are those of `linear_attention`.

    Args:
      query: [*B, T, N, H], floating point, N divisible by K, each of length 1.
      key: [*B, T, K, H], floating point, each of length 1.
      value: [*B, T, K, V], floating point.
      decay: [*B, T, K], g <= 0, one per key head and token.
      strength: [*B, T, K], β >= 0.
      ridge: [K, H], the diagonal of Λ, above 0.
      iterations: steps of conjugate gradients.
      initial_state: a `MesaState`, as `return_state` gives it.

    Raises:
      ValueError: a strength is negative, or a ridge not above 0.
      TypeError: the state is of another kind.

    References:
      von Oswald et al., MesaNet, 2025 (arXiv:2506.05233).

    Example:
      >>> x, zeros = jnp.ones((3, 1, 1)), jnp.zeros((3, 1))
      >>> value = jnp.array([[[1.0]], [[2.0]], [[6.0]]])
      >>> print(mesa(x, x, value, decay=zeros, strength=zeros + 1, ridge=jnp.ones((1, 1))).ravel())
      [0.5  1.   2.25]
    """
    refuse_shards(options, "every query solves for an answer to all tokens before it")
    steps = count("iterations", iterations)
    query, key, value = entrance(query, key, value, options)
    decay = log_decay("decay", per_head("decay", decay, key, options))
    strength = per_head("strength", strength, key, options)
    not_negative("strength", strength)
    ridge = parameter("ridge", ridge, key.shape[-2:], "K, H")
    not_negative("ridge", ridge, nor_zero=True)
    state = options.get("initial_state")
    if state is not None and not isinstance(state, MesaState):
        raise TypeError(f"initial_state is a {type(state).__name__}: expected a MesaState, as mesa returns")
    covariance, memory = state or (None, None)

    query, key = at_least_float32(query), at_least_float32(key)
    written = strength[..., None].astype(key.dtype) * key
    ridges = jnp.repeat(ridge, query.shape[-2] // key.shape[-2], axis=0).astype(query.dtype)

    def recall(x: Array, values: Array, start: Any) -> tuple[Array, Array]:
        given = passed(options, initial_state=start)
        return linear_recurrence(x, written, values, decay=decay, scale=1.0, **given)

    def regularized(x: Array) -> Array:
        return recall(x, key, covariance)[0] + of_rank(ridges, x.ndim) * x

    def solve(matvec: Callable[[Array], Array], x: Array) -> Array:
        return conjugate_gradients(matvec, x, steps)

    answer = jax.lax.custom_linear_solve(regularized, query, solve, symmetric=True)
    out, memory = recall(answer, value, memory)
    if not options.get("return_state"):
        return out.astype(value.dtype)
    return out.astype(value.dtype), MesaState(recall(query, key, covariance)[1], memory)


def conjugate_gradients(matvec: Callable[[Array], Array], b: Float[Array, "... H"], steps: int) -> Array:
    """Returns x with matvec(x) = b for a positive definite map of the last axis, each vector on its own.

    >>> print(conjugate_gradients(lambda x: x * jnp.array([2.0, 4.0]), jnp.ones(2), 2).round(3))
    [0.5  0.25]
    """

    def step(carry: tuple[Array, Array, Array], _: Any) -> tuple[tuple[Array, Array, Array], None]:
        x, rest, direction = carry
        image, size = matvec(direction), _dot(rest, rest)
        along = _quotient(size, _dot(direction, image))
        x, rest = x + along * direction, rest - along * image
        return (x, rest, rest + _quotient(_dot(rest, rest), size) * direction), None

    return jax.lax.scan(step, (varying(jnp.zeros_like(b), b), b, b), length=steps)[0][0]


def _dot(x: Array, y: Array) -> Array:
    return (x * y).sum(-1, keepdims=True)


def _quotient(above: Array, below: Array) -> Array:
    """Returns the quotient, 0 where nothing is left to solve."""
    return jnp.where(below > 0, above / jnp.where(below > 0, below, 1), 0)
