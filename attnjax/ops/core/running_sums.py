"""Running sums whose differences keep their digits, however far the sums go."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.node import varying

Pair = tuple[Array, Array]
# So many terms are added one by one, those of all spans at once, and then the spans: two short loops.
# XLA takes seconds to compile `jax.lax.associative_scan`, and one loop over all terms would have S turns.
SPAN = 128


@jax.custom_jvp
@jax.jit
def running_sums(x: Float[Array, "*axes S"]) -> tuple[Float[Array, "*axes S"], Float[Array, "*axes S"]]:
    """The sums of x up to each place, over the last axis: rounded, and what the rounding left out.

    The sum between two places is (sums_i - sums_j) + (rests_i - rests_j), with an error relative to that sum
    and not to the sums up to there. The additions keep their rounding error as a second float (Knuth, The Art
    of Computer Programming 2, §4.2.2). The derivative is that of a cumulative sum, carried by the first.

    >>> sums, rests = running_sums(jnp.array([1e8, 1.0, 1.0]))
    >>> print((sums[2] - sums[0]) + (rests[2] - rests[0]), jnp.cumsum(jnp.array([1e8, 1.0, 1.0])) - 1e8)
    2.0 [0. 0. 0.]
    """
    length = x.shape[-1]
    spans = length // SPAN + 1
    terms = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, spans * SPAN - length)])
    terms = jnp.moveaxis(terms.reshape(*x.shape[:-1], spans, SPAN), (-1, -2), (0, 1))
    inside = _added_up((terms, jnp.zeros_like(terms)))
    ends = _added_up((inside[0][-1], inside[1][-1]))
    before = jax.tree.map(lambda y: jnp.concatenate([jnp.zeros_like(y[:1]), y[:-1]])[None], ends)
    sums, rests = (
        jnp.moveaxis(y, (0, 1), (-1, -2)).reshape(*x.shape[:-1], spans * SPAN) for y in _add(before, inside)
    )
    return sums[..., :length], rests[..., :length]


@running_sums.defjvp
def _jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Pair, Pair]:
    moved = jnp.cumsum(tangents[0], axis=-1)
    return running_sums(*primals), (moved, jnp.zeros_like(moved))


def _added_up(terms: Pair) -> Pair:
    """The sums over the first axis."""

    def step(total: Pair, term: Pair) -> tuple[Pair, Pair]:
        total = _add(total, term)
        return total, total

    start = varying(tuple(jnp.zeros_like(y[0]) for y in terms), terms)
    return jax.lax.scan(step, start, terms)[1]


def _add(one: Pair, other: Pair) -> Pair:
    total = one[0] + other[0]
    moved = total - one[0]
    rest = (one[0] - (total - moved)) + (other[0] - moved) + (one[1] + other[1])
    rounded = total + rest
    return rounded, rest - (rounded - total)
