"""Quotients of two sums over features, which members with a feature map share.

out_t = Σ_j φ(q_t)ᵀφ(k_j) v_j / Σ_j φ(q_t)ᵀφ(k_j), 0 where the sum below is 0. The sum below is one more
column of the values and of the state.
"""

from typing import Any, Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.linear.attention import linear_recurrence
from attnjax.ops.linear.members.common import (
    Options,
    Passed,
    passed,
)
from attnjax.ops.linear.members.two_sided import both_directions


def normalized(
    query: Float[Array, "*B T N F"],
    key: Float[Array, "*B T K F"],
    value: Float[Array, "*B T K V"],
    two_sided: bool,
    options: Options,
) -> Any:
    """Returns the quotient of the two sums for given features; state [*B, K, F, V + 1]."""
    ones = jnp.ones((*value.shape[:-1], 1), key.dtype)
    with_one = jnp.concatenate([value.astype(key.dtype), ones], -1)
    if two_sided:
        tokens = {"query": query, "key": key, "value": with_one}
        sums, state = both_directions(_sums, tokens, options, "once"), None
    else:
        sums, state = linear_recurrence(query, key, with_one, scale=1.0, **passed(options))
    above, below = sums[..., :-1], sums[..., -1:]
    out = _quotient(above, below).astype(value.dtype)
    return (out, state) if options.get("return_state") else out


def _quotient(above: Array, below: Array) -> Array:
    """Returns above / below, 0 where the latter is 0 or subnormal.

    Both are scaled by 1 / below first, a constant to derivatives: these would take the inverse of the square
    of `below`, which overflows where sums of exponentials are small.
    """
    empty = jnp.abs(below) < jnp.finfo(below.dtype).tiny
    share = jax.lax.stop_gradient(1 / jnp.where(empty, 1, below))
    return jnp.where(empty, 0, above * share / jnp.where(empty, 1, below * share))


def _sums(query: Array, key: Array, value: Array, **options: Unpack[Passed]) -> Array:
    return linear_recurrence(query, key, value, scale=1.0, **options)[0]
