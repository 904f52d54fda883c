"""linear_attention(): the one entry to all forms of the recurrence."""

import functools
from collections.abc import Callable
from typing import Any, Literal, overload

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attnjax.ops.core.explicit_axes import automatic
from attnjax.ops.core.pairs import surely
from attnjax.ops.linear.call import Form, RecurrenceCall, check_form, make_problem, spread
from attnjax.ops.linear.chunked import chunked
from attnjax.ops.linear.parallel import parallel
from attnjax.ops.linear.recurrent import recurrent
from attnjax.ops.linear.tokens import Read, normal_form

# Up to so many tokens the loop is preferred: decoding.
FEW = 4


@overload
def linear_attention(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    decay: float | Float[Array, "..."] | None = ...,
    erase: Float[Array, "*B T K H"] | None = ...,
    write: Float[Array, "*B T K H"] | None = ...,
    scale: float | Float[Array, ""] | None = ...,
    initial_state: Float[Array, "*B K H V"] | None = ...,
    segment_ids: Int[Array, "..."] | None = ...,
    lengths: int | Int[Array, "..."] | None = ...,
    form: Form | None = ...,
    chunk_size: int | None = ...,
    return_state: Literal[False] = ...,
) -> Float[Array, "*B T N V"]: ...


@overload
def linear_attention(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    return_state: Literal[True],
    decay: float | Float[Array, "..."] | None = ...,
    erase: Float[Array, "*B T K H"] | None = ...,
    write: Float[Array, "*B T K H"] | None = ...,
    scale: float | Float[Array, ""] | None = ...,
    initial_state: Float[Array, "*B K H V"] | None = ...,
    segment_ids: Int[Array, "..."] | None = ...,
    lengths: int | Int[Array, "..."] | None = ...,
    form: Form | None = ...,
    chunk_size: int | None = ...,
) -> tuple[Float[Array, "*B T N V"], Float[Array, "*B K H V"]]: ...


@overload
def linear_attention(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    return_state: bool,
    decay: float | Float[Array, "..."] | None = ...,
    erase: Float[Array, "*B T K H"] | None = ...,
    write: Float[Array, "*B T K H"] | None = ...,
    scale: float | Float[Array, ""] | None = ...,
    initial_state: Float[Array, "*B K H V"] | None = ...,
    segment_ids: Int[Array, "..."] | None = ...,
    lengths: int | Int[Array, "..."] | None = ...,
    form: Form | None = ...,
    chunk_size: int | None = ...,
) -> Any: ...


def linear_attention(
    query: Any,
    key: Any,
    value: Any,
    *,
    decay: Any = None,
    erase: Any = None,
    write: Any = None,
    scale: Any = None,
    initial_state: Any = None,
    segment_ids: Any = None,
    lengths: Any = None,
    form: Form | None = None,
    chunk_size: int | None = None,
    return_state: bool = False,
) -> Any:
    """Attention by a state of constant size: it decays, is erased from, written to and read at every token.

        S_t = exp(decay_t) S_{t-1} - write_t (erase_tᵀ S_{t-1}) + key_t value_tᵀ
        out_t = scale · S_tᵀ query_t

    Causal, in time and memory linear in T. The members of the family are choices of its arguments: linear
    attention and retention, gated linear attention, Mamba-2, the delta rules, RWKV-7.

    Args:
        query: [*B, T, N, H]; key: [*B, T, K, H]; value: [*B, T, K, V], floating point, N divisible by K: key
            head k serves the query heads from k·N/K, and has one state [H, V].
        decay: logarithm of what is kept, at most 0, -inf allowed: scalar, [K] per head, [*#B, #T, #K] per
            head and token, or [*#B, #T, #K, #H] per channel. None keeps everything.
        erase: [*B, T, K, H], reads the state before the decay; write: [*B, T, K, H] is where that is taken
            away, None for the key. A delta rule of strength β passes key = β·k, erase = exp(decay)·k.
        scale: scalar; None = 1/√H.
        initial_state: [*B, K, H, V], zeros for None.
        segment_ids: integers broadcastable to [*B, T]; the state is zero before a token whose id differs from
            that of the token before. The initial state belongs to the first segment.
        lengths: integers broadcastable to [*B]; later tokens, of which T or more leaves none, give 0
            and leave the state as it was.
        form: "recurrent", token by token; "chunked", by matrix products over chunks of tokens; "parallel", a
            T×T matrix (without erase). They are equal; None chooses.
        chunk_size: of the chunked form; None chooses.
        return_state: also return the state after the last token.

    Returns:
        out [*B, T, N, V] in the query's dtype; with `return_state` also the state [*B, K, H, V], float32
        (float64 when an input is), in which everything is computed. NaN in padding reaches nothing.

    Raises ValueError or TypeError for arguments that do not fit, before anything is computed.
    Transformers are RNNs (Katharopoulos et al., 2020); chunks for decays: Gated Linear Attention (Yang et
    al., 2023); for erasing: DeltaNet (Yang et al., 2024).

    >>> x = jnp.ones((4, 1, 1))
    >>> out, state = linear_attention(x, x, x, decay=jnp.log(jnp.array([0.5])), return_state=True)
    >>> print(out.ravel(), state.ravel())
    [1.    1.5   1.75  1.875] [1.875]
    """
    out, state = linear_recurrence(
        query,
        key,
        value,
        decay=decay,
        erase=erase,
        write=write,
        scale=scale,
        initial_state=initial_state,
        segment_ids=segment_ids,
        lengths=lengths,
        form=form,
        chunk_size=chunk_size,
    )
    return (out, state) if return_state else out


@automatic(functools.partial(spread, return_state=True))
def linear_recurrence(
    query: Any,
    key: Any,
    value: Any,
    *,
    form: Form | None = None,
    chunk_size: int | None = None,
    read: Read = "after",
    **arguments: Any,
) -> tuple[Float[Array, "*B T N V"], Float[Array, "*B K H V"]]:
    """As `linear_attention`, always with the state; read "before" gives out_t = scale · S_{t-1}ᵀ query_t."""
    problem = make_problem(query, key, value, **arguments)
    check_form(form, chunk_size, problem.erase is not None)
    return _run(problem, form, chunk_size, read)


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _run(
    problem: RecurrenceCall, form: Form | None, chunk_size: int | None, read: Read
) -> tuple[Array, Array]:
    *batch, length, heads, _ = problem.query.shape
    run = _choose(form, chunk_size, length)
    out, state = jax.vmap(jax.vmap(functools.partial(run, read=read)))(*normal_form(problem, read))
    out = jnp.moveaxis(out, 2, 1).reshape(*batch, length, heads, out.shape[-1])
    return out.astype(problem.query.dtype), state.reshape(*batch, *state.shape[1:])


def _choose(form: Form | None, chunk_size: int | None, length: int) -> Callable[..., tuple[Array, Array]]:
    if form == "parallel":
        return parallel
    if form == "recurrent" or (form is None and chunk_size is None and surely(lambda: length <= FEW)):
        return recurrent
    return functools.partial(chunked, chunk_size=chunk_size)
