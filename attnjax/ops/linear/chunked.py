"""The recurrence by matrix products over chunks of tokens: what training and prefill run.

Within a chunk, u_t = S_{t-1}ᵀ erase_t is what token t takes away. With c_t the sum of the log-decays up to t,

    S_t = exp(c_t) S_0 + Σ_{j≤t} exp(c_t - c_j) (key_j value_jᵀ - write_j u_jᵀ)

so that u solves a unit lower triangular system: u = M (Ẽ S_0 + A value), M = (I + A')⁻¹, where A and A' are
the products of erase with key and with write that the decays between two tokens scale (the WY representation;
Yang et al., 2024). What does not depend on S_0 is computed for many chunks at once; what a chunk does to the
state is one affine map. On a CPU these run chunk by chunk. On an accelerator, which would wait for the start
of a kernel each time, they are composed pairwise, as a parallel prefix sum (Martin & Cundy, 2018).
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.pairs import fixed
from attnjax.ops.linear.token_pairs import between, log_sums, pair_products, scaled
from attnjax.ops.linear.tokens import Read, Tokens
from attnjax.ops.linear.triangular import unit_lower_inverse

# On CPU, with erase and heads of 64, 64 takes a tenth longer, 16 may take much longer with decays per channel
# (benchmarks/linear.py --only chunks). Larger products fill an accelerator better.
CPU_CHUNK, ACCELERATOR_CHUNK = 32, 64
# Tokens of one head whose chunks are computed at once; a gradient computes them again, group by group, and so
# keeps the inputs and one state per group. More of them fill an accelerator (benchmarks/gpu.py, 64k tokens).
CPU_GROUP, ACCELERATOR_GROUP = 1024, 65536


class TokenChunk(NamedTuple):
    """C tokens as a map of the state before them: R rows that read it, and W rows that are written to it."""

    query: Float[Array, "R H"]
    scores: Float[Array, "R W"]
    kept: Float[Array, " H"] | Float[Array, " 1"] | None
    written: Float[Array, "W H"]
    value: Float[Array, "W V"]
    taken: Float[Array, "W H"] | None  # what is written is value - taken · S_0


def chunked(
    tokens: Tokens, state: Float[Array, "H V"], read: Read, chunk_size: int | None
) -> tuple[Float[Array, "T G V"], Float[Array, "H V"]]:
    """Returns out and the last state of one head, of any length: zeros after it leave the state alone."""
    length = tokens.key.shape[0]
    chunk, group = (CPU_CHUNK, CPU_GROUP) if _on_cpu() else (ACCELERATOR_CHUNK, ACCELERATOR_GROUP)
    size, at_once = chunk_size or chunk, 1
    if fixed(length):  # Of a symbol there is no telling how many chunks there are.
        if chunk_size is None and chunk == CPU_CHUNK and _half_fills_better(length):
            size = CPU_CHUNK // 2
        size = min(size, max(length, 1))
        at_once = max(1, min(-(-length // size), group // size))
    chunks = -(-length // size)
    groups = -(-chunks // at_once)
    padded = groups * at_once * size

    def grouped(x: Array) -> Array:
        x = jnp.pad(x, ((0, padded - length), *[(0, 0)] * (x.ndim - 1)))
        return x.reshape(groups, at_once, size, *x.shape[1:])

    run: Callable[..., tuple[Array, Array]] = functools.partial(_group, read=read)
    if not fixed(groups) or groups > 1:
        run = jax.checkpoint(run, prevent_cse=False)
    state, out = jax.lax.scan(run, state, jax.tree.map(grouped, tokens))
    return out.reshape(padded, tokens.query.shape[1], out.shape[-1])[:length], state


def _group(state: Array, tokens: Tokens, read: Read) -> tuple[Array, Array]:
    """The state after chunks [at once, C, ...], and what they read [at once, R, V]."""
    chunks = jax.vmap(functools.partial(_chunk, read=read))(tokens)
    if _on_cpu():
        return jax.lax.scan(_step, state, chunks)
    state, before = _composed(state, jax.vmap(_transition)(chunks))
    return state, jax.vmap(lambda chunk, state: _step(state, chunk)[1])(chunks, before)


def _half_fills_better(length: int) -> bool:
    """Returns whether chunks of half the size fill an eighth less up: three of 16 hold 48 tokens."""
    spared = -length % CPU_CHUNK - -length % (CPU_CHUNK // 2)
    return 8 * spared >= length > CPU_CHUNK


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def _chunk(tokens: Tokens, read: Read) -> TokenChunk:
    query, key, value, decay, erase, write = tokens
    each, query = query.shape[1], query.reshape(-1, query.shape[-1])
    after = before = seen = since_start = to_end = kept = None
    if decay is not None:
        after = log_sums(decay)
        before = jnp.concatenate([jnp.zeros_like(after[:, :1]), after[:, :-1]], axis=1)
        seen = jnp.repeat(after if read == "after" else before, each, axis=1)
        since_start, to_end = seen.sum(0), between(after[:, -1:], after)
        kept = jnp.exp(jnp.atleast_1d(after[:, -1].sum(0)))
    scores = pair_products(query, key, seen, after, own=read == "after")
    reads_state, written = scaled(query, since_start), scaled(key, to_end)
    if erase is None:
        return TokenChunk(reads_state, scores, kept, written, value, None)
    by_key = pair_products(erase, key, before, after, own=False)
    erases = scaled(erase, None if before is None else before.sum(0))
    if write is None:
        inverse = unit_lower_inverse(by_key)
        return TokenChunk(reads_state, scores, kept, written, inverse @ value, inverse @ erases)
    by_write = pair_products(erase, write, before, after, own=False)
    inverse = unit_lower_inverse(by_write)
    taken = inverse @ erases
    scores = jnp.concatenate([scores, pair_products(query, write, seen, after, own=read == "after")], -1)
    written = jnp.concatenate([written, scaled(write, to_end)])
    value = jnp.concatenate([value, -(inverse @ (by_key @ value))])
    taken = jnp.concatenate([jnp.zeros_like(taken), taken])
    return TokenChunk(reads_state, scores, kept, written, value, taken)


Transition = tuple[Array | None, Array | None, Array]


def _transition(chunk: TokenChunk) -> Transition:
    """The state after a chunk is kept · S - product · S + added."""
    product = None if chunk.taken is None else chunk.written.T @ chunk.taken
    return chunk.kept, product, chunk.written.T @ chunk.value


def _composed(state: Array, transitions: Transition) -> tuple[Array, Array]:
    """The state after all chunks, and those before each, by compositions of neighbouring maps."""
    kept, product, added = transitions
    maps = jnp.ones((len(added), 1, 1), state.dtype) if kept is None else kept[..., None]
    apply: Callable[[Array, Array], Array] = jnp.multiply
    if product is not None:
        maps, apply = maps * jnp.eye(len(state), dtype=state.dtype)[None] - product, jnp.matmul

    def then(first: tuple[Array, Array], second: tuple[Array, Array]) -> tuple[Array, Array]:
        return apply(second[0], first[0]), apply(second[0], first[1]) + second[1]

    maps, added = jax.lax.associative_scan(then, (maps, added))
    after = apply(maps, state[None]) + added
    return after[-1], jnp.concatenate([state[None], after[:-1]])


def _step(state: Array, chunk: TokenChunk) -> tuple[Array, Float[Array, "R V"]]:
    """The state after a chunk, and what the chunk reads."""
    value = chunk.value if chunk.taken is None else chunk.value - chunk.taken @ state
    out = chunk.query @ state + chunk.scores @ value
    added = chunk.written.T @ value
    return added + (state if chunk.kept is None else chunk.kept[:, None] * state), out
