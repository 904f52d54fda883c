"""The recurrence by matrix products over chunks of tokens: what training and prefill run.

Within a chunk, u_t = S_{t-1}ᵀ erase_t is what token t takes away. With c_t the sum of the log-decays up to t,

    S_t = exp(c_t) S_0 + Σ_{j≤t} exp(c_t - c_j) (key_j value_jᵀ - write_j u_jᵀ)

so that u solves a unit lower triangular system: u = M (Ẽ S_0 + A value), M = (I + A')⁻¹, where A and A' are
the products of erase with key and with write that the decays between two tokens scale (the WY representation;
Yang et al., 2024). What does not depend on S_0 is computed for many chunks at once; what a chunk does to the
state is one matrix product, and only that runs chunk by chunk.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.linear.pairs import pair_products
from attnjax.ops.linear.tokens import Read, Tokens
from attnjax.ops.linear.triangular import unit_lower_inverse

# Tokens of one head whose chunks are computed at once; a gradient computes them again, group by group, and so
# keeps the inputs and one state per group.
GROUP = 1024


class Chunk(NamedTuple):
    """A chunk of C tokens as a map of the state before it: what it reads, and the W rows that it writes."""

    query: Float[Array, "C G H"]
    scores: Float[Array, "C G W"]
    kept: Float[Array, " H"] | Float[Array, " 1"] | None
    written: Float[Array, "W H"]
    value: Float[Array, "W V"]
    taken: Float[Array, "W H"] | None  # rows written are value - taken · S_0


def chunked(
    tokens: Tokens, state: Float[Array, "H V"], read: Read, chunk_size: int
) -> tuple[Float[Array, "T G V"], Float[Array, "H V"]]:
    """out and the last state of one head. Any length: zeros that follow it leave the state as it was."""
    length = tokens.key.shape[0]
    size = min(chunk_size, max(length, 1))
    chunks = -(-length // size)
    at_once = max(1, min(chunks, GROUP // size))
    groups = -(-chunks // at_once)
    padded = groups * at_once * size

    def grouped(x: Array) -> Array:
        x = jnp.pad(x, ((0, padded - length), *[(0, 0)] * (x.ndim - 1)))
        return x.reshape(groups, at_once, size, *x.shape[1:])

    run = functools.partial(_group, read=read)
    if groups > 1:
        run = jax.checkpoint(run, prevent_cse=False)
    state, out = jax.lax.scan(run, state, jax.tree.map(grouped, tokens))
    return out.reshape(padded, *out.shape[3:])[:length], state


def _group(state: Array, tokens: Tokens, read: Read) -> tuple[Array, Array]:
    """The state after, and the outputs of, chunks [at once, C, ...]."""
    chunks = jax.vmap(functools.partial(_chunk, read=read))(tokens)
    state, before = jax.lax.scan(_advance, state, jax.vmap(_transition)(chunks))
    return state, jax.vmap(_read)(chunks, before)


def _chunk(tokens: Tokens, read: Read) -> Chunk:
    query, key, value, decay, erase, write = tokens
    after = None if decay is None else jnp.cumsum(decay, axis=0)
    before = None if after is None else jnp.pad(after[:-1], ((1, 0), *[(0, 0)] * (after.ndim - 1)))
    seen = after if read == "after" else before
    to_end = None if after is None else after[-1] - after
    written, taken = key, None
    scores = pair_products(query, key, seen, after, diagonal=read == "after")
    if erase is not None:
        by_key = _strict(erase, key, before, after)
        if write is None:
            inverse = unit_lower_inverse(by_key)
            value, taken = inverse @ value, inverse @ scaled(erase, before)
        else:
            inverse = unit_lower_inverse(_strict(erase, write, before, after))
            taken = inverse @ scaled(erase, before)
            value = jnp.concatenate([value, -(inverse @ (by_key @ value))])
            taken = jnp.concatenate([jnp.zeros_like(taken), taken])
            by_write = pair_products(query, write, seen, after, diagonal=read == "after")
            scores = jnp.concatenate([scores, by_write], axis=-1)
            written = jnp.concatenate([key, write])
            to_end = None if to_end is None else jnp.concatenate([to_end, to_end])
    kept = None if after is None else jnp.exp(jnp.atleast_1d(after[-1]))
    return Chunk(scaled(query, seen), scores, kept, scaled(written, to_end), value, taken)


def _strict(erase: Array, written: Array, before: Array | None, after: Array | None) -> Float[Array, "C C"]:
    return pair_products(erase[:, None], written, before, after, diagonal=False)[:, 0]


def scaled(x: Float[Array, "C *G H"], log: Any) -> Array:
    """x times exp(log), log [C] or [C, H]."""
    if log is None:
        return x
    rows = log.reshape(log.shape[0], *[1] * (x.ndim - 2), -1)
    return x * jnp.exp(rows)


def _transition(chunk: Chunk) -> tuple[Array | None, Array | None, Array]:
    """The state after a chunk is kept · S - product · S + added."""
    product = None if chunk.taken is None else chunk.written.T @ chunk.taken
    return chunk.kept, product, chunk.written.T @ chunk.value


def _advance(state: Array, transition: tuple[Array | None, Array | None, Array]) -> tuple[Array, Array]:
    kept, product, added = transition
    after = added + (state if kept is None else kept[:, None] * state)
    return (after if product is None else after - product @ state), state


def _read(chunk: Chunk, state: Array) -> Float[Array, "C G V"]:
    value = chunk.value if chunk.taken is None else chunk.value - chunk.taken @ state
    return chunk.query @ state + chunk.scores @ value
