"""Gated slot attention: softmax attention over M slots that forget and are written to."""

import math
from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from attnjax.ops.core.checks import floats, scalar
from attnjax.ops.linear.attention import linear_recurrence
from attnjax.ops.linear.call import check_form, log_decay
from attnjax.ops.linear.members.common import (
    Options,
    at_least_float32,
    entrance,
    gate,
    known_arguments,
    parameter,
    passed,
    refuse_shards,
    rows_and_heads,
    scan_chunks,
)
from attnjax.ops.linear.members.segments import places
from attnjax.ops.linear.token_pairs import between, log_sums
from attnjax.ops.linear.tokens import lowest_log

# Pairs inside a chunk are computed slot by slot, at this many times M numbers per token.
CHUNK = 16


class SlotState(NamedTuple):
    """The keys and the values in the slots; `keys` is the transpose of the paper's."""

    keys: Float[Array, "*B K H M"]
    values: Float[Array, "*B K M V"]


@known_arguments
def gated_slot(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    decay: Float[Array, "*B T K M"],
    scale: float | Float[Array, ""] | None = None,
    **options: Unpack[Options],
) -> Any:
    """Gated slot attention: a softmax over M slots, which forget by α = e^g and take in 1 - α.

        K̃_t = diag(α_t) K̃_{t-1} + (1 - α_t) k_tᵀ,  Ṽ_t = diag(α_t) Ṽ_{t-1} + (1 - α_t) v_tᵀ
        o_t = Ṽ_tᵀ softmax(scale · K̃_t q_t)

    It is two passes of gated linear attention: the first, whose decay is on the side of the values, by chunks
    of 16 tokens (1 for form "recurrent", T for "parallel"), the second as `form` and `chunk_size` say.

    Other arguments, the result and errors are those of `linear_attention`.

    Args:
      query: [*B, T, N, H], floating point, N divisible by K.
      key: [*B, T, K, H], floating point.
      value: [*B, T, K, V], floating point.
      decay: [*B, T, K, M], g <= 0, of each slot.
      scale: scalar, of the query; None = 1/√H.
      initial_state: a `SlotState`, as `return_state` gives it.

    Raises:
      TypeError: the state is of another kind.

    References:
      Zhang et al., Gated Slot Attention, 2024 (arXiv:2409.07146).

    Example:
      >>> x, value = jnp.ones((2, 1, 1)), jnp.array([[[8.0]], [[4.0]]])
      >>> print(gated_slot(x, x, value, decay=jnp.log(jnp.full((2, 1, 2), 0.5))).ravel())
      [4. 4.]
    """
    refuse_shards(options, "what it writes to a slot is a softmax over all tokens before")
    check_form(options.get("form"), options.get("chunk_size"), False)
    query, key, value = entrance(query, key, value, options)
    slots = floats("decay", decay).shape[-1:]
    decay = gate("decay", decay, (*key.shape[:-1], *slots), "*B, T, K, M", options.get("lengths"))
    log_decay("decay", decay)
    state = options.get("initial_state")
    if state is not None and not isinstance(state, SlotState):
        raise TypeError(f"initial_state is a {type(state).__name__}: expected a SlotState, as it is returned")
    keys, values = state or (None, None)
    if keys is not None:
        expected = (*key.shape[:-3], *key.shape[-2:], *slots)
        keys = parameter("keys of initial_state", keys, expected, "*B, K, H, M")
    written = -jnp.expm1(at_least_float32(decay))
    scores, keys = _scores(query, key, written, decay, keys, options)
    scale = scalar("scale", key.shape[-1] ** -0.5 if scale is None else scale)
    weights = jax.nn.softmax(scale * scores, axis=-1)
    given = passed(options, initial_state=values)
    out, values = linear_recurrence(weights, written, value, decay=decay, scale=1.0, **given)
    out = out.astype(value.dtype)
    return (out, SlotState(keys, values)) if options.get("return_state") else out


class _Tokens(NamedTuple):
    query: Float[Array, "T G H"]
    key: Float[Array, "T H"]
    written: Float[Array, "T M"]
    decay: Float[Array, "T M"]


def _scores(
    query: Array, key: Array, written: Array, decay: Array, keys: Array | None, options: Options
) -> tuple[Float[Array, "*B T N M"], Float[Array, "*B K H M"]]:
    """Returns K̃_t q_t of every token, and the last K̃ᵀ."""
    batch, (length, heads, size) = key.shape[:-3], key.shape[-3:]
    dtype = written.dtype
    groups = query.reshape(*key.shape[:-1], query.shape[-2] // heads, size)
    segment = places(batch, length, options).segment
    if keys is None:
        keys = jnp.zeros((*batch, heads, size, decay.shape[-1]), dtype)
    decay = jnp.maximum(decay.astype(dtype), lowest_log(dtype))
    parts = _Tokens(*(rows_and_heads(x.astype(dtype), len(batch)) for x in (groups, key, written, decay)))
    chunk = {"recurrent": 1, "parallel": max(length, 1)}.get(options.get("form") or "", CHUNK)

    def head(state: Array, tokens: _Tokens, segment: Array) -> tuple[Any, Array]:
        return scan_chunks(_chunk, (state, jnp.zeros((), jnp.int32)), (tokens, segment), chunk)

    rows = jax.vmap(jax.vmap(head, in_axes=(0, 0, None)))
    keys = keys.astype(dtype).reshape(math.prod(batch), *keys.shape[-3:])
    (keys, _), scores = rows(keys, parts, segment)
    scores = jnp.swapaxes(scores, 1, 2).reshape(*batch, length, query.shape[-2], decay.shape[-1])
    return scores, keys.reshape(*batch, *keys.shape[1:])


def _chunk(carry: tuple[Array, Array], chunk: tuple[_Tokens, Array]) -> tuple[tuple[Array, Array], Array]:
    """Returns the scores [C, G, M] of a chunk, and the keys [H, M] after it."""
    (keys, before), (x, segment) = carry, chunk
    sums = log_sums(x.decay)
    pairs = jnp.tril(segment[:, None] == segment[None])
    shares = _exp_where(pairs[..., None], between(sums[:, :, None], sums[:, None])) * x.written[None]
    kept = _exp_where((segment == before)[:, None], sums.sum(0))
    scores = jnp.einsum("tgh,sh,tsm->tgm", x.query, x.key, shares)
    scores = scores + jnp.einsum("tgh,hm->tgm", x.query, keys) * kept[:, None]
    keys = keys * kept[-1:] + x.key.T @ shares[-1]
    return (keys, segment[-1]), scores


def _exp_where(where: Bool[Array, "..."], x: Array) -> Array:
    """Returns exp(x), 0 elsewhere; x may be large there."""
    return jnp.where(where, jnp.exp(jnp.where(where, x, 0)), 0)
