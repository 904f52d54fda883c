"""Keys in blocks, which of them a causal query may choose, and the highest of their scores."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class BlockMembers(NamedTuple):
    """The blocks of a row of keys.

    Attributes:
      members: [*#B, blocks, size], the keys that count as the block's: those of the document of its last key.
      ids: [*#B, blocks], the id of that document, below 0 where the last key is no token.
      whole: [*#B, blocks], all keys count.
    """

    members: Bool[Array, "*#B blocks size"]
    ids: Int[Array, "*#B blocks"]
    whole: Bool[Array, "*#B blocks"]


def blocks_of(ids: Int[Array, "*#B S"], size: int) -> BlockMembers:
    """Returns the blocks of keys that have these ids of documents, below 0 where a key is no token.

    Example:
      >>> blocks_of(jnp.array([0, 0, 0, 1, 1]), 2).whole.tolist()
      [True, False, False]
    """
    cut = in_blocks(ids, size, fill=-1)
    last = cut[..., -1]
    members = (cut == last[..., None]) & (cut >= 0)
    return BlockMembers(members, last, members.all(-1))


def ids_at(ids: Int[Array, "*#B S"], positions: Int[Array, "*#B T"]) -> Int[Array, "*#B T"]:
    """Returns the ids of the keys at positions, the nearest where they lie outside.

    Example:
      >>> ids_at(jnp.array([4, 5]), jnp.array([[0, 1], [1, 2]])).tolist()
      [[4, 5], [5, 5]]
    """
    batch = jnp.broadcast_shapes(ids.shape[:-1], positions.shape[:-1])
    ids = jnp.broadcast_to(ids, (*batch, ids.shape[-1]))
    positions = jnp.broadcast_to(positions, (*batch, positions.shape[-1]))
    return jnp.take_along_axis(ids, positions.clip(0, ids.shape[-1] - 1), axis=-1)


def in_blocks(x: Array, size: int, *, axis: int = -1, fill: float = 0) -> Array:
    """Returns an array with the axis of tokens as two, of blocks and of the tokens in them.

    Example:
      >>> in_blocks(jnp.arange(3), 2).tolist()
      [[0, 1], [2, 0]]
    """
    axis %= x.ndim
    count = -(-x.shape[axis] // size)
    missing = count * size - x.shape[axis]
    x = jnp.pad(x, [(0, missing if a == axis else 0) for a in range(x.ndim)], constant_values=fill)
    return x.reshape(*x.shape[:axis], count, size, *x.shape[axis + 1 :])


def highest(scores: Float[Array, "... n"], count: int) -> Int[Array, "... count"]:
    """Returns the places of the highest scores, the first ones of equals; -1 for those that are -inf.

    A choice has no gradient.

    Example:
      >>> highest(jnp.array([3.0, -jnp.inf, 5.0]), 4).tolist()
      [2, 0, -1]
    """
    values, places = jax.lax.top_k(jax.lax.stop_gradient(scores), min(count, scores.shape[-1]))
    return jnp.where(jnp.isneginf(values), -1, places)


def highest_set(scores: Float[Array, "... n"], count: int) -> Int[Array, "... count"]:
    """Returns the places that `highest` does, in their order, in a fraction of its time where they are many.

    The bits of the last score that is chosen are found one after the other, by counting the scores above.

    Example:
      >>> highest_set(jnp.array([3.0, -jnp.inf, 5.0, 4.0]), 2).tolist()
      [2, 3]
    """
    scores = jax.lax.stop_gradient(scores)
    count, bits = min(count, scores.shape[-1]), jnp.finfo(scores.dtype).bits
    integers = jnp.dtype(f"int{bits}")
    limits = jnp.iinfo(integers)
    # As integers in the order of the numbers; both zeros are one number.
    code = jax.lax.bitcast_convert_type(jnp.where(scores == 0, 0, scores), integers)
    code = jnp.where(code < 0, code ^ limits.max, code)

    def enough(least: Array) -> Array:
        return (code >= least[..., None]).sum(axis=-1) >= count

    def next_bit(i: Array, least: Array) -> Array:
        trial = least + (jnp.ones((), integers) << (bits - 2 - i).astype(integers))
        return jnp.where(enough(trial), trial, least)

    zero = jnp.zeros(scores.shape[:-1], integers)
    least = jax.lax.fori_loop(0, bits - 1, next_bit, jnp.where(enough(zero), zero, limits.min))[..., None]
    above, equal = code > least, code == least
    missing = count - above.sum(axis=-1, keepdims=True)
    chosen = above | (equal & (jnp.cumsum(equal, axis=-1) <= missing))
    upto = jnp.cumsum(chosen, axis=-1, dtype=jnp.int32).reshape(-1, scores.shape[-1])
    wanted = jnp.arange(1, count + 1, dtype=jnp.int32)
    places = jax.vmap(lambda row: jnp.searchsorted(row, wanted))(upto).reshape(*scores.shape[:-1], count)
    nothing = jnp.isneginf(jnp.take_along_axis(scores, places, axis=-1))
    return jnp.where(nothing, -1, places).astype(jnp.int32)
