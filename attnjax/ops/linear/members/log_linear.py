"""Log-linear attention: a state for each of about log₂ T stretches of the past."""

import math
from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attnjax.ops.core.checks import floats, scalar
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.linear.call import check_form, log_decay
from attnjax.ops.linear.members.common import (
    Options,
    entrance,
    gate,
    known_arguments,
    per_head,
    refuse_shards,
    rows_and_heads,
    scan_chunks,
)
from attnjax.ops.linear.members.segments import Places, places
from attnjax.ops.linear.token_pairs import between, log_sums
from attnjax.ops.linear.tokens import lowest_log

CHUNK = 64


class LogLinearState(NamedTuple):
    """The state of each level, and how many tokens the segment has had."""

    levels: Float[Array, "*B K L H V"]
    seen: Int[Array, "*B"]


@known_arguments
def log_linear(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    decay: Float[Array, "*B T K"],
    levels: Float[Array, "*B T K L"],
    scale: float | Float[Array, ""] | None = None,
    **options: Unpack[Options],
) -> Any:
    """Log-linear attention: the past in stretches, twice as long the farther they are.

        o_t = scale · Σ_l λ_t^(l) S_t^(l)ᵀ q_t
        S_t^(l) = Σ_j e^{g_{j+1} + … + g_t} k_j v_jᵀ over the j ≤ t with l(t, j) = l
        l(t, t) = 0,  l(t, j) = 1 + ⌊log₂(t xor j)⌋ (a Fenwick tree), at most L - 1

    With λ = 1 it is `simple_gla`; it is the paper's form for Mamba-2, not that for delta rules. Chunks of C
    tokens cost T·(C + L·H) products of size V. A chunk's pairs are a C×C matrix, "recurrent" is C = 1,
    "parallel" C = T.

    Other arguments, the result and errors are those of `linear_attention`.

    Args:
      query: [*B, T, N, H], floating point, N divisible by K.
      key: [*B, T, K, H], floating point.
      value: [*B, T, K, V], floating point.
      decay: [*B, T, K], g <= 0, one per key head and token.
      levels: [*B, T, K, L], the λ, of which T tokens use 1 + bit length of T - 1; with fewer the last takes
        what lies beyond.
      scale: scalar, of the query; None = 1/√H.
      initial_state: a `LogLinearState`, as `return_state` gives it.

    Raises:
      TypeError: the state is of another kind.

    References:
      Guo et al., Log-Linear Attention, 2025 (arXiv:2506.04761).

    Example:
      >>> x, far = jnp.ones((4, 1, 1)), jnp.array([[[1.0, 10.0, 100.0]]])
      >>> print(log_linear(x, x, x, decay=jnp.zeros((4, 1)), levels=far).ravel())
      [  1.  11. 201. 211.]
    """
    refuse_shards(options, "its levels are counted from the first token of a sequence")
    check_form(options.get("form"), options.get("chunk_size"), False)
    query, key, value = entrance(query, key, value, options)
    decay = log_decay("decay", per_head("decay", decay, key, options))
    count = floats("levels", levels).shape[-1:]
    levels = gate("levels", levels, (*key.shape[:-1], *count), "*B, T, K, L", options.get("lengths"))
    if 0 in count:
        raise ValueError(f"levels has shape {list(levels.shape)} (*B, T, K, L): expected L of at least 1")
    batch, (length, heads, size) = key.shape[:-3], key.shape[-3:]
    state = _initial(options.get("initial_state"), (*batch, heads, *count, size, value.shape[-1]))
    dtype = accumulation_dtype(query, key, value, decay, levels, state.levels)
    # Scaled here, when padding is zero already: a NaN there would reach the scale's gradient.
    query = query.astype(dtype) * scalar("scale", 1 / math.sqrt(size) if scale is None else scale)
    decay = jnp.maximum(decay.astype(dtype), lowest_log(dtype))
    groups = query.reshape(*key.shape[:-1], query.shape[-2] // key.shape[-2], size)
    parts = (rows_and_heads(x.astype(dtype), len(batch)) for x in (groups, key, value, decay, levels))
    where = places(batch, length, options)
    seen = jnp.broadcast_to(state.seen, batch).reshape(-1)
    where = where._replace(place=where.place + jnp.where(where.segment == 0, seen[:, None], 0))
    form = {"recurrent": 1, "parallel": max(length, 1)}
    chunk = form.get(options.get("form") or "", options.get("chunk_size") or CHUNK)

    def head(start: Array, tokens: tuple[Array, ...], at: Places, seen: Array) -> tuple[Any, Array]:
        return scan_chunks(_chunk, (start, Places(jnp.zeros((), jnp.int32), seen - 1)), (*tokens, at), chunk)

    rows = jax.vmap(jax.vmap(head, in_axes=(0, 0, None, None)))
    start = state.levels.astype(dtype).reshape(math.prod(batch), heads, *state.levels.shape[-3:])
    (last, at), out = rows(start, tuple(parts), where, seen)
    out = jnp.swapaxes(out, 1, 2).reshape(*query.shape[:-1], value.shape[-1]).astype(value.dtype)
    if not options.get("return_state"):
        return out
    return out, LogLinearState(last.reshape(state.levels.shape), at.place[:, 0].reshape(batch) + 1)


def _initial(state: Any, shape: tuple[int, ...]) -> LogLinearState:
    if state is None:
        return LogLinearState(jnp.zeros(shape), jnp.zeros((), jnp.int32))
    if not isinstance(state, LogLinearState):
        raise TypeError(
            f"initial_state is a {type(state).__name__}: expected a LogLinearState, as it is returned"
        )
    if state.levels.shape != shape:
        raise ValueError(
            f"initial_state has levels {list(state.levels.shape)}: expected {list(shape)} (*B, K, L, H, V)"
        )
    return state


def _chunk(carry: tuple[Array, Places], x: tuple[Array, ...]) -> tuple[tuple[Array, Places], Array]:
    """Returns out [C, G, V] of a chunk, and the levels after it: earlier ones move to higher ones."""
    state, before = carry
    query, key, value, decay, weights = x[:5]
    at: Places = x[5]  # type: ignore[assignment]
    count = state.shape[0]
    sums = log_sums(decay)
    pairs = jnp.tril(at.segment[:, None] == at.segment[None])
    level = _level(at.place[:, None], at.place[None], count)
    shares = jnp.where(pairs, jnp.exp(jnp.where(pairs, between(sums[..., None], sums[:, None]), 0)), 0)
    out = jnp.einsum(
        "tgh,sh,ts,sv->tgv", query, key, shares * jnp.take_along_axis(weights, level, axis=1), value
    )

    carried = jnp.where(at.segment == before.segment, jnp.exp(sums.sum(0)), 0)
    goes_to = _level(at.place[:, None], _members(before.place, count)[None], count)
    out = out + jnp.einsum(
        "tgh,tl,lhv->tgv", query, jnp.take_along_axis(weights, goes_to, axis=1) * carried[:, None], state
    )

    into = jax.nn.one_hot(level[-1], count, dtype=state.dtype) * shares[-1][:, None]
    moved = jax.nn.one_hot(goes_to[-1], count, dtype=state.dtype) * carried[-1]
    state = jnp.einsum("sl,sh,sv->lhv", into, key, value) + jnp.einsum("ol,ohv->lhv", moved, state)
    return (state, Places(at.segment[-1], at.place[-1])), out


def _level(t: Int[Array, "..."], j: Int[Array, "..."], count: int) -> Int[Array, "..."]:
    """Returns l(t, j): the bit length of t xor j, at most the last level."""
    return jnp.minimum(32 - jax.lax.clz(jnp.bitwise_xor(t, j).astype(jnp.int32)), count - 1)


def _members(place: Int[Array, ""], count: int) -> Int[Array, " L"]:
    """Returns a token in each level of the token at `place`; anything for levels that hold none."""
    below = jnp.arange(count - 1, dtype=jnp.int32)
    older = jnp.left_shift(jnp.right_shift(place, below) - 1, below)
    return jnp.maximum(jnp.concatenate([place[None], older]), 0)
