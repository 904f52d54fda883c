"""The arguments of a call: checks of the contract, before anything is computed."""

import math
from typing import Any, Literal, NamedTuple, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from attnjax.ops.core.checks import array, count, floats, positions, scalar
from attnjax.ops.core.explicit_axes import mesh_axes, spec
from attnjax.ops.core.pairs import broadcasts_to

Form = Literal["recurrent", "chunked", "parallel"]
FORMS: tuple[Form, ...] = ("recurrent", "chunked", "parallel")


class RecurrenceCall(NamedTuple):
    """The checked arguments of a call, with the axes as they came."""

    query: Array
    key: Array
    value: Array
    decay: Array | None
    erase: Array | None
    write: Array | None
    scale: Array
    state: Array | None
    segment_ids: Array | None
    lengths: Array | None


class RecurrenceOptions(TypedDict, total=False):
    """The keyword arguments that decide on the output, as `linear_attention` documents them."""

    decay: float | Float[Array, "..."] | None
    erase: Float[Array, "*B T K H"] | None
    write: Float[Array, "*B T K H"] | None
    scale: float | Float[Array, ""] | None
    initial_state: Float[Array, "*B K H V"] | None
    segment_ids: Int[Array, "..."] | None
    lengths: int | Int[Array, "..."] | None


def make_call(
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
) -> RecurrenceCall:
    """Returns the call, checked; raises ValueError or TypeError naming the argument that does not fit."""
    query, key, value = (_tokens(n, x) for n, x in (("query", query), ("key", key), ("value", value)))
    _check_sizes(query, key, value)
    batch, (length, heads, size) = key.shape[:-3], key.shape[-3:]
    decay = None if decay is None else _decay(decay, key.shape)
    if erase is None and write is not None:
        raise ValueError("write is given but erase is None: expected both (key is what is written)")
    erase = None if erase is None else _like_key("erase", erase, key)
    write = None if write is None else _like_key("write", write, key)
    if initial_state is not None:
        initial_state = floats("initial_state", initial_state)
        expected = (*batch, heads, size, value.shape[-1])
        if initial_state.shape != expected:
            raise ValueError(
                f"initial_state has shape {list(initial_state.shape)}: "
                f"expected {list(expected)} (*B, K, H, V)"
            )
    return RecurrenceCall(
        query,
        key,
        value,
        decay,
        erase,
        write,
        jnp.asarray(scalar("scale", 1 / math.sqrt(size) if scale is None else scale)),
        initial_state,
        *segments_and_lengths(segment_ids, lengths, batch, length),
    )


def spread(query: Any, key: Any = None, value: Any = None, *, return_state: bool = False, **_: Any) -> Any:
    """Returns how the result of a call, with its state or without, is spread over explicit mesh axes."""
    queries, values = (mesh_axes(x) or (None, None, None) for x in (query, value))
    out = spec(*queries[:-2], queries[-2] or values[-2], values[-1])
    return (out, spec(*queries[:-3])) if return_state else out


def segments_and_lengths(
    segment_ids: Any, lengths: Any, batch: tuple[int, ...], length: int
) -> tuple[Array | None, Array | None]:
    """Returns both, checked: integers that broadcast to [*B, T] and to [*B]."""
    return (
        None if segment_ids is None else _integers("segment_ids", segment_ids, (*batch, length), "*B, T"),
        None if lengths is None else positions("lengths", _integers("lengths", lengths, batch, "*B")),
    )


def check_form(form: Any, chunk_size: Any, erases: bool) -> None:
    """Raises ValueError or TypeError for a form that cannot compute the call."""
    if form is not None and form not in FORMS:
        raise ValueError(f"form is {form!r}: expected one of {', '.join(map(repr, FORMS))} or None")
    if form == "parallel" and erases:
        raise ValueError(
            "form is 'parallel' with erase, which depends on the state: expected 'chunked' or 'recurrent'"
        )
    if chunk_size is not None:
        count("chunk_size", chunk_size)
        if form not in (None, "chunked"):
            raise ValueError(
                f"chunk_size is {chunk_size} with form {form!r}: expected form 'chunked' or None"
            )


def _tokens(name: str, x: Any) -> Array:
    x = floats(name, x)
    if x.ndim < 3:
        raise ValueError(f"{name} has shape {list(x.shape)}: expected at least 3 axes (*B, T, heads, size)")
    return x


def _check_sizes(query: Array, key: Array, value: Array) -> None:
    shown = (
        f"query {list(query.shape)} (*B, T, N, H), key {list(key.shape)} (*B, T, K, H), "
        f"value {list(value.shape)} (*B, T, K, V)"
    )
    if not query.shape[:-2] == key.shape[:-2] == value.shape[:-2]:
        raise ValueError(f"the batch axes *B or the lengths T differ: {shown}")
    if key.shape[-2] != value.shape[-2]:
        raise ValueError(f"key and value differ in K: {shown}")
    if query.shape[-1] != key.shape[-1] or query.shape[-1] == 0:
        raise ValueError(f"query and key need one head size H of at least 1: {shown}")
    heads, groups = query.shape[-2], key.shape[-2]
    if groups == 0 or heads % groups:
        raise ValueError(f"N = {heads} query heads are not divisible by K = {groups} key heads: {shown}")


def _like_key(name: str, x: Any, key: Array) -> Array:
    x = floats(name, x)
    if x.shape != key.shape:
        raise ValueError(
            f"{name} has shape {list(x.shape)}: expected {list(key.shape)} (*B, T, K, H) as the key"
        )
    return x


def _decay(decay: Any, key_shape: tuple[int, ...]) -> Array:
    decay, heads = floats("decay", decay), key_shape[-2]
    rank = len(key_shape)
    full = {0: (), 1: (heads,), rank - 1: key_shape[:-1], rank: key_shape}.get(decay.ndim)
    if full is None or not broadcasts_to(decay.shape, full) or (decay.ndim == 1 and decay.shape != full):
        raise ValueError(
            f"decay has shape {list(decay.shape)}: expected a scalar, [{heads}] (K), or one that "
            f"broadcasts to {list(key_shape[:-1])} (*B, T, K) or {list(key_shape)} (*B, T, K, H)"
        )
    log_decay("decay", decay)
    return decay if decay.ndim else jnp.broadcast_to(decay, heads)


def log_decay(name: str, x: Array) -> Array:
    """Returns x; raises ValueError for logarithms of decays above 0, where values are known."""
    if not isinstance(x, jax.core.Tracer) and (np.asarray(x) > 0).any():
        highest = np.nanmax(np.asarray(x, np.float64))
        raise ValueError(f"{name} reaches up to {highest:.4g}: expected logarithms of decays, at most 0")
    return x


def _integers(name: str, x: Any, full: tuple[int, ...], axes: str) -> Array:
    x = array(name, x)
    if not jnp.issubdtype(x.dtype, jnp.integer):
        raise TypeError(f"{name} is an array of {x.dtype}: expected integers")
    if not broadcasts_to(x.shape, full):
        raise ValueError(
            f"{name} has shape {list(x.shape)}: expected one that broadcasts to {list(full)} ({axes})"
        )
    return x
