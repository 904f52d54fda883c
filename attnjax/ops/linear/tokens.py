"""The normal form of a call: what every token does to the state of its head, and the state before them."""

import math
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.core.node import varying
from attnjax.ops.linear.call import RecurrenceCall

Read = Literal["after", "before"]


class Tokens(NamedTuple):
    """The tokens of one head of one batch row, in the dtype of the state.

    The queries are scaled, of the G query heads that read a key head; decays are finite or None. There are no
    segments and no padding: a reset is a decay to nothing, padding writes zeros. A chunk of tokens is
    `Tokens` again, and so is one, without the axis T.
    """

    query: Float[Array, "T G H"]
    key: Float[Array, "T H"]
    value: Float[Array, "T V"]
    decay: Float[Array, " T"] | Float[Array, "T H"] | None
    erase: Float[Array, "T H"] | None
    write: Float[Array, "T H"] | None


def normal_form(
    call: RecurrenceCall, read: Read, begins: Bool[Array, "B 1"] | None = None
) -> tuple[Tokens, Float[Array, "B K H V"]]:
    """The tokens of all rows and heads (axes B K in front), and the states before them.

    `begins`: whether the first token begins a segment, as that of a shard may; None = it does not.

    Everything is in the dtype of the state: float32, or float64 when an input is.
    """
    *batch, length, heads, size = call.key.shape
    rows, dtype = math.prod(batch), state_dtype(call)
    decay = call.decay
    if decay is not None:
        full = call.key.shape if decay.ndim == call.key.ndim else call.key.shape[:-1]
        decay = jnp.broadcast_to(jnp.maximum(decay.astype(dtype), lowest_log(dtype)), full)
    given = [call.query, call.key, call.value, decay, call.erase, call.write]
    tokens = Tokens(*(_heads_first(x, rows, len(batch), dtype) for x in given))
    if call.segment_ids is not None:
        ids = jnp.broadcast_to(call.segment_ids, (*batch, length)).reshape(rows, length)
        first = jnp.zeros((rows, 1), bool) if begins is None else begins
        changes = jnp.concatenate([first, ids[:, 1:] != ids[:, :-1]], axis=1)[:, :length]
        tokens = _reset(tokens, changes, read)
    if call.lengths is not None:
        lengths = jnp.broadcast_to(call.lengths, batch).reshape(rows, 1)
        tokens = Tokens(*(_zero(x, jnp.arange(length, dtype=jnp.int32)[None] >= lengths) for x in tokens))
    # Scaled when padding is zero already: a NaN there would reach the scale's gradient.
    query = tokens.query * call.scale.astype(dtype)
    query = query.reshape(rows, heads, query.shape[1] // heads, length, size)
    shape = (rows, heads, size, call.value.shape[-1])
    state = jnp.zeros(shape) if call.state is None else call.state.reshape(shape)
    return tokens._replace(query=jnp.swapaxes(query, 2, 3)), varying(state.astype(dtype), tokens)


def state_dtype(call: RecurrenceCall) -> Any:
    """float32, or float64 when an input is."""
    given = (call.query, call.key, call.value, call.decay, call.erase, call.write)
    return accumulation_dtype(*(x for x in (*given, call.state) if x is not None))


def lowest_log(dtype: Any) -> float:
    """A log-decay whose exponential is 0 in this dtype, in place of -inf.

    It is finite, so that differences of sums are no NaN, and no lower than it has to be, so that the sums of
    a chunk with resets in it keep their digits.
    """
    return -800.0 if dtype == jnp.float64 else -110.0


def _heads_first(x: Array | None, rows: int, batch_axes: int, dtype: Any) -> Any:
    if x is None:
        return None
    return jnp.swapaxes(x.reshape(rows, *x.shape[batch_axes:]), 1, 2).astype(dtype)


def _reset(tokens: Tokens, begins: Bool[Array, "B T"], read: Read) -> Tokens:
    """Resets the state where a segment begins: the decay leaves nothing of it, and nothing reads it."""
    decay, dtype = tokens.decay, tokens.key.dtype
    if decay is None:
        decay = jnp.zeros(tokens.key.shape[:-1], dtype)
    return tokens._replace(
        decay=_zero(decay, begins, lowest_log(dtype)),
        erase=_zero(tokens.erase, begins),
        query=_zero(tokens.query, begins) if read == "before" else tokens.query,
    )


def _zero(x: Array | None, where: Bool[Array, "B T"], to: float = 0.0) -> Any:
    """`x` [B, heads, T, ...] with another value at these tokens."""
    if x is None:
        return None
    where = jnp.expand_dims(where, (1, *range(3, x.ndim)))
    return jnp.where(where, jnp.asarray(to, x.dtype), x)
