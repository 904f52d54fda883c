"""Members with features in place of a softmax: linear attention, Performer, cosFormer.

out_t = Σ_j φ(q_t)ᵀφ(k_j) v_j / Σ_j φ(q_t)ᵀφ(k_j), 0 where the sum below is 0. The sum below is one more
column of the values and of the state.
"""

import math
from collections.abc import Callable
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from attnjax.ops.core.checks import count, floats, scalar_above
from attnjax.ops.core.pairs import surely
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.linear.attention import linear_recurrence
from attnjax.ops.linear.members.common import (
    Options,
    Passed,
    at_least_float32,
    entrance,
    known_arguments,
    parameter,
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
    """The quotient of the two sums for given features; state [*B, K, F, V + 1]."""
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
    """above / below, 0 where the latter is 0 or subnormal.

    Both are scaled by 1 / below first, a constant to derivatives: these would take the inverse of the square
    of `below`, which overflows where sums of exponentials are small.
    """
    empty = jnp.abs(below) < jnp.finfo(below.dtype).tiny
    share = jax.lax.stop_gradient(1 / jnp.where(empty, 1, below))
    return jnp.where(empty, 0, above * share / jnp.where(empty, 1, below * share))


def elu_plus_one(x: Array) -> Array:
    """elu(x) + 1, above 0."""
    return jax.nn.elu(x) + 1


@known_arguments
def linear(
    query: Any,
    key: Any,
    value: Any,
    *,
    feature_map: Callable[[Array], Array] = elu_plus_one,
    two_sided: bool = False,
    **options: Unpack[Options],
) -> Any:
    """Σ_j φ(q_t)ᵀφ(k_j) v_j / Σ_j φ(q_t)ᵀφ(k_j) over j ≤ t: linear attention with φ = elu + 1.

    `feature_map` maps [..., H] to features [..., F] that are not negative; with `two_sided` the sums are over
    all j. State [*B, K, F, V + 1]. Other arguments and errors as in `linear_attention`. Transformers are RNNs
    (Katharopoulos et al., 2020).

    >>> x, value = jnp.zeros((3, 1, 2)), jnp.array([[[1.0]], [[2.0]], [[6.0]]])
    >>> print(linear(x, x, value).ravel(), linear(x, x, value, two_sided=True).ravel())
    [1.  1.5 3. ] [3. 3. 3.]
    """
    query, key, value = entrance(query, key, value, options)
    query, key = feature_map(at_least_float32(query)), feature_map(at_least_float32(key))
    return normalized(query, key, value, two_sided, options)


@known_arguments
def performer(
    query: Any,
    key: Any,
    value: Any,
    *,
    projection: Float[Array, "F H"],
    two_sided: bool = False,
    **options: Unpack[Options],
) -> Any:
    """Softmax attention by positive random features: φ(x) = exp(Ωx - |x|²/2) of x / H^¼.

    E[φ(q)ᵀφ(k)] / F = exp(q·k/√H) for rows of Ω as from `orthogonal_features`, which `projection` [F, H]
    holds: the same for all calls that share a state. With `two_sided` the sums are over all tokens. State
    [*B, K, F, V + 1]. Other arguments and errors as in `linear_attention`. FAVOR+: Rethinking Attention with
    Performers (Choromanski et al., 2020). Features of queries are divided by their largest, which cancels;
    those of keys are not, as their largest is not known before the last token.

    >>> x, value = jnp.zeros((3, 1, 2)), jnp.array([[[1.0]], [[2.0]], [[6.0]]])
    >>> print(performer(x, x, value, projection=orthogonal_features(jax.random.key(0), 4, 2)).ravel())
    [1.  1.5 3. ]
    """
    query, key, value = entrance(query, key, value, options)
    size = key.shape[-1]
    projection = floats("projection", projection)
    projection = parameter("projection", projection, (*projection.shape[:1], size), "F, H")

    def exponents(x: Array) -> Array:
        x = at_least_float32(x) * size**-0.25
        return x @ projection.T.astype(x.dtype) - (x * x).sum(-1, keepdims=True) / 2

    q = exponents(query)
    highest = jax.lax.stop_gradient(q.max(-1, keepdims=True))
    return normalized(jnp.exp(q - highest), jnp.exp(exponents(key)), value, two_sided, options)


def orthogonal_features(rng: PRNGKeyArray, features: int, size: int) -> Float[Array, "F H"]:
    """`features` Gaussian directions of `size` channels, orthogonal to each other in blocks of `size`.

    Each block is a random rotation, its rows as long as those of a Gaussian matrix. Choromanski et al., 2020.

    >>> rows = orthogonal_features(jax.random.key(0), 4, 4)
    >>> bool(jnp.allclose(rows @ rows.T, jnp.diag((rows * rows).sum(-1)), atol=1e-5))
    True
    """
    blocks = -(-count("features", features) // count("size", size))
    for_directions, for_lengths = jax.random.split(rng)
    directions, upper = jnp.linalg.qr(jax.random.normal(for_directions, (blocks, size, size)))
    # Uniform over rotations only with the signs of the diagonal: QR fixes them otherwise.
    directions = directions * jnp.sign(jnp.diagonal(upper, axis1=-2, axis2=-1))[:, None, :]
    lengths = jnp.linalg.norm(jax.random.normal(for_lengths, (features, size)), axis=-1)
    return directions.swapaxes(-1, -2).reshape(-1, size)[:features] * lengths[:, None]


@known_arguments
def cosformer(
    query: Any,
    key: Any,
    value: Any,
    *,
    horizon: float | Float[Array, ""],
    two_sided: bool = False,
    **options: Unpack[Options],
) -> Any:
    """Weights relu(q_t)·relu(k_j) cos(π/2 · (t - j) / M), over their sum: near tokens weigh more.

    `horizon` is M, above 0 and no less than any distance within a sequence (or segment), as the cosine turns
    negative beyond. With `two_sided` the sums are over all tokens. State [*B, K, 2·H, V + 1], turned so that
    the next token is at 0: it needs no position. Other arguments and errors as in `linear_attention`;
    ValueError for M below T. cosFormer (Qin et al., 2022).

    >>> x, value = jnp.ones((2, 1, 1)), jnp.array([[[1.0]], [[2.0]]])
    >>> print(jnp.array_str(cosformer(x, x, value, horizon=3).ravel(), precision=3))
    [1.    1.536]
    """
    query, key, value = entrance(query, key, value, options)
    length = key.shape[-3]
    horizon = scalar_above("horizon", horizon, 0)
    known = options.get("segment_ids") is None and not isinstance(horizon, jax.core.Tracer)
    if known and surely(lambda: horizon < length):
        raise ValueError(f"horizon is {horizon} with T = {length} tokens: expected at least T")

    def turned(x: Array) -> Array:
        x = jax.nn.relu(at_least_float32(x))
        at = of_rank(jnp.arange(length, dtype=x.dtype)[:, None, None], x.ndim)
        angle = (math.pi / 2 / horizon * at).astype(x.dtype)
        return jnp.concatenate([jnp.cos(angle) * x, jnp.sin(angle) * x], -1)

    answer = normalized(turned(query), turned(key), value, two_sided, options)
    if not options.get("return_state"):
        return answer
    out, state = answer
    lengths = options.get("lengths")
    moved = length if lengths is None else jnp.minimum(jnp.asarray(lengths), length)
    angle = math.pi / 2 / horizon * jnp.asarray(moved, state.dtype)
    angle = jnp.broadcast_to(angle, state.shape[:-3]).astype(state.dtype)
    cosine, sine = (f(angle)[..., None, None, None] for f in (jnp.cos, jnp.sin))
    along, across = jnp.split(state, 2, axis=-2)
    return out, jnp.concatenate([cosine * along + sine * across, cosine * across - sine * along], -2)


def _sums(query: Array, key: Array, value: Array, **options: Unpack[Passed]) -> Array:
    return linear_recurrence(query, key, value, scale=1.0, **options)[0]
