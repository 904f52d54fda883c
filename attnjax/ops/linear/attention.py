"""linear_attention(): the one entry to all forms of the recurrence."""

import functools
from collections.abc import Callable
from typing import Any, Literal, Unpack, overload

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.explicit_axes import automatic
from attnjax.ops.core.manual_axes import bound_axis
from attnjax.ops.core.options import spelled_out
from attnjax.ops.core.pairs import surely
from attnjax.ops.linear.call import Form, RecurrenceCall, RecurrenceOptions, check_form, make_call, spread
from attnjax.ops.linear.chunked import chunked
from attnjax.ops.linear.parallel import parallel
from attnjax.ops.linear.recurrent import recurrent
from attnjax.ops.linear.shards import begins_here, last_state, state_before
from attnjax.ops.linear.tokens import Read, normal_form

# Up to so many tokens, as in decoding, the loop is preferred.
FEW_TOKENS = 4


@overload
def linear_attention(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    return_state: Literal[False] = ...,
    form: Form | None = ...,
    chunk_size: int | None = ...,
    axis: str | None = ...,
    **options: Unpack[RecurrenceOptions],
) -> Float[Array, "*B T N V"]: ...


@overload
def linear_attention(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    return_state: Literal[True],
    form: Form | None = ...,
    chunk_size: int | None = ...,
    axis: str | None = ...,
    **options: Unpack[RecurrenceOptions],
) -> tuple[Float[Array, "*B T N V"], Float[Array, "*B K H V"]]: ...


@overload
def linear_attention(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    return_state: bool,
    form: Form | None = ...,
    chunk_size: int | None = ...,
    axis: str | None = ...,
    **options: Unpack[RecurrenceOptions],
) -> Any: ...


@spelled_out(RecurrenceOptions, make_call)
def linear_attention(
    query: Any,
    key: Any,
    value: Any,
    *,
    return_state: bool = False,
    form: Form | None = None,
    chunk_size: int | None = None,
    axis: str | None = None,
    **options: Unpack[RecurrenceOptions],
) -> Any:
    """Returns attention by a state of constant size: it decays, is erased from, written to and read.

        S_t = exp(decay_t) S_{t-1} - write_t (erase_tᵀ S_{t-1}) + key_t value_tᵀ
        out_t = scale · S_tᵀ query_t

    Causal, in time and memory linear in T. The members of the family are choices of its arguments: linear
    attention and retention, gated linear attention, Mamba-2, the delta rules, RWKV-7.

    Args:
      query: [*B, T, N, H], floating point, N divisible by K: key head k serves the query heads from k·N/K.
      key: [*B, T, K, H], floating point; each key head has one state [H, V].
      value: [*B, T, K, V], floating point.
      return_state: also return the state after the last token.
      form: "recurrent", token by token; "chunked", by matrix products over chunks of tokens; "parallel", a
        T×T matrix (without erase). They are equal; None chooses.
      chunk_size: tokens in a chunk of the chunked form; None chooses.
      axis: inside of a `jax.shard_map` the mesh axis on whose devices the tokens lie in shards, in order. All
        else speaks of the shard, but for the states: initial_state is that before the first shard, and what
        is returned that after the last. `context_recurrence` takes whole arrays.
      decay: logarithm of what is kept, at most 0, -inf allowed: scalar, [K] per head, [*#B, #T, #K] per head
        and token, or [*#B, #T, #K, #H] per channel. None keeps everything.
      erase: [*B, T, K, H], reads the state before the decay. A delta rule of strength β passes key = β·k,
        erase = exp(decay)·k.
      write: [*B, T, K, H], where what was read is taken away; None for the key.
      scale: scalar; None = 1/√H.
      initial_state: [*B, K, H, V]; None = zeros.
      segment_ids: integers broadcastable to [*B, T]; the state is zero before a token whose id differs from
        that of the token before. The initial state belongs to the first segment.
      lengths: integers broadcastable to [*B]; later tokens, of which T or more leaves none, give 0 and leave
        the state as it was.

    Returns:
      out [*B, T, N, V] in the query's dtype; with `return_state` also the state [*B, K, H, V], float32
      (float64 when an input is), in which everything is computed. NaN in padding reaches nothing.

    Raises:
      TypeError: an argument is of another type, or unknown. Nothing is computed before.
      ValueError: shapes or values do not fit.

    References:
      Katharopoulos et al., Transformers are RNNs, 2020 (arXiv:2006.16236).
      Yang et al., Gated Linear Attention Transformers with Hardware-Efficient Training, 2023, chunks for
      decays (arXiv:2312.06635). Yang et al., Parallelizing Linear Transformers with the Delta Rule over
      Sequence Length, 2024, chunks for erasing (arXiv:2406.06484).

    Example:
      >>> x = jnp.ones((4, 1, 1))
      >>> out, state = linear_attention(x, x, x, decay=jnp.log(jnp.array([0.5])), return_state=True)
      >>> print(out.ravel(), state.ravel())
      [1.    1.5   1.75  1.875] [1.875]
    """
    out, state = linear_recurrence(query, key, value, form=form, chunk_size=chunk_size, axis=axis, **options)
    return (out, state) if return_state else out


@automatic(functools.partial(spread, return_state=True))
def linear_recurrence(
    query: Any,
    key: Any,
    value: Any,
    *,
    form: Form | None = None,
    chunk_size: int | None = None,
    axis: str | None = None,
    read: Read = "after",
    **arguments: Any,
) -> tuple[Float[Array, "*B T N V"], Float[Array, "*B K H V"]]:
    """Returns output and state; read "before" gives out_t = scale · S_{t-1}ᵀ query_t."""
    call = make_call(query, key, value, **arguments)
    check_form(form, chunk_size, call.erase is not None)
    if axis is not None and bound_axis(axis) is None:
        raise ValueError(f"axis is {axis!r}: expected the mesh axis of a jax.shard_map that runs here")
    return _run(call, form, chunk_size, read, axis)


@functools.partial(jax.jit, static_argnums=(1, 2, 3, 4))
def _run(
    call: RecurrenceCall, form: Form | None, chunk_size: int | None, read: Read, axis: str | None
) -> tuple[Array, Array]:
    *batch, length, heads, _ = call.query.shape
    run = jax.vmap(jax.vmap(functools.partial(_choose(form, chunk_size, length), read=read)))
    tokens, state = normal_form(call, read, None if axis is None else begins_here(call, axis))
    if axis is None:
        out, state = run(tokens, state)
    else:
        out, state = run(tokens, state_before(run, tokens, state, axis))
        state = last_state(state, axis)
    out = jnp.moveaxis(out, 2, 1).reshape(*batch, length, heads, out.shape[-1])
    return out.astype(call.query.dtype), state.reshape(*batch, *state.shape[1:])


def _choose(form: Form | None, chunk_size: int | None, length: int) -> Callable[..., tuple[Array, Array]]:
    if form == "parallel":
        return parallel
    if form == "recurrent" or (form is None and chunk_size is None and surely(lambda: length <= FEW_TOKENS)):
        return recurrent
    return functools.partial(chunked, chunk_size=chunk_size)
