"""From the arguments of a call to a `Recurrence`: checks of the contract, before anything is computed."""

import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from attnjax.ops.checks import array, count, floats, scalar

Form = Literal["recurrent", "chunked", "parallel"]
Read = Literal["after", "before"]
FORMS: tuple[Form, ...] = ("recurrent", "chunked", "parallel")


class Recurrence(NamedTuple):
    """The recurrence in normal form; all that runs it sees one head of one batch row, by `jax.vmap`.

    With the axes `B K` in front of each: scaled queries of the G query heads that read a key head, decays
    that are finite or None, and no segments or padding: a reset is a decay to nothing, padding writes zeros.
    """

    query: Float[Array, "G T H"]
    key: Float[Array, "T H"]
    value: Float[Array, "T V"]
    decay: Float[Array, " T"] | Float[Array, "T H"] | None
    erase: Float[Array, "T H"] | None
    write: Float[Array, "T H"] | None
    state: Float[Array, "H V"]


class Problem(NamedTuple):
    """The checked arguments of a call, with the axes as they came, and the dtype of the state."""

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


def make_problem(
    query: Any,
    key: Any,
    value: Any,
    *,
    decay: Any,
    erase: Any,
    write: Any,
    scale: Any,
    initial_state: Any,
    segment_ids: Any,
    lengths: Any,
) -> Problem:
    """The call, checked; ValueError or TypeError naming the argument that does not fit."""
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
    return Problem(
        query,
        key,
        value,
        decay,
        erase,
        write,
        jnp.asarray(scalar("scale", 1 / math.sqrt(size) if scale is None else scale)),
        initial_state,
        None if segment_ids is None else _integers("segment_ids", segment_ids, (*batch, length), "*B, T"),
        None if lengths is None else _integers("lengths", lengths, batch, "*B"),
    )


def check_form(form: Any, chunk_size: Any, erases: bool) -> None:
    """ValueError or TypeError for a form that cannot compute the call."""
    if form is not None and form not in FORMS:
        raise ValueError(f"form is {form!r}: expected one of {', '.join(map(repr, FORMS))} or None")
    if form == "parallel" and erases:
        raise ValueError(
            "form is 'parallel' with erase: expected 'chunked' or 'recurrent', as the state decides what is erased"
        )
    if chunk_size is not None:
        count("chunk_size", chunk_size)
        if form not in (None, "chunked"):
            raise ValueError(
                f"chunk_size is {chunk_size} with form {form!r}: expected form 'chunked' or None"
            )


def normal_form(problem: Problem, read: Read) -> Recurrence:
    """Queries scaled, heads before tokens, decays finite; resets and padding become decays and zeros.

    Everything is in the dtype of the state: float32, or float64 when an input is.
    """
    batch, (length, heads, size) = problem.key.shape[:-3], problem.key.shape[-3:]
    present = [x for x in problem[:6] if x is not None] + [x for x in (problem.state,) if x is not None]
    dtype = jnp.result_type(*present, jnp.float32)
    rows = math.prod(batch)

    def tokens(x: Array | None) -> Array | None:
        return (
            None if x is None else jnp.swapaxes(x.reshape(rows, *x.shape[len(batch) :]), 1, 2).astype(dtype)
        )

    parts = {name: tokens(getattr(problem, name)) for name in ("query", "key", "value", "erase", "write")}
    parts["decay"] = _full_decay(problem.decay, problem.key.shape, dtype, tokens)
    if problem.segment_ids is not None:
        ids = jnp.broadcast_to(problem.segment_ids, (*batch, length)).reshape(rows, length)
        parts = _reset(parts, ids[:, 1:] != ids[:, :-1], read)
    if problem.lengths is not None:
        lengths = jnp.broadcast_to(problem.lengths, batch).reshape(rows, 1)
        parts = {name: _zero(x, jnp.arange(length) >= lengths) for name, x in parts.items()}
    # Scaled when padding is zero already: a NaN there would reach the scale's gradient.
    query = parts.pop("query") * problem.scale.astype(dtype)
    query = query.reshape(rows, heads, -1, *query.shape[2:])
    state = (
        jnp.zeros((*batch, heads, size, problem.value.shape[-1])) if problem.state is None else problem.state
    )
    return Recurrence(query=query, state=state.reshape(rows, *state.shape[-3:]).astype(dtype), **parts)


def lowest_log(dtype: Any) -> float:
    """A log-decay whose exponential is 0 in this dtype, in place of -inf.

    It is finite, so that differences of sums are no NaN, and no lower than it has to be, so that the sums of
    a chunk with resets in it keep their digits.
    """
    return -800.0 if dtype == jnp.float64 else -110.0


def _full_decay(decay: Array | None, shape: tuple[int, ...], dtype: Any, tokens: Any) -> Array | None:
    """[B, K, T] or [B, K, T, H], finite."""
    if decay is None:
        return None
    full = shape if decay.ndim == len(shape) else shape[:-1]
    return tokens(jnp.broadcast_to(jnp.maximum(decay.astype(dtype), lowest_log(dtype)), full))


def _reset(
    parts: dict[str, Array | None], changes: Bool[Array, "B T-1"], read: Read
) -> dict[str, Array | None]:
    """Where a segment begins, the decay leaves nothing of the state, and nothing sees what was there."""
    key = parts["key"]
    assert key is not None
    begins = jnp.pad(changes, ((0, 0), (1, 0)))
    decay = jnp.zeros(key.shape[:-1], key.dtype) if parts["decay"] is None else parts["decay"]
    where = begins[:, None, :].reshape(*begins[:, None].shape, *[1] * (decay.ndim - 3))
    parts = parts | {"decay": jnp.where(where, lowest_log(key.dtype), decay)}
    seen_before = ["erase", "query"] if read == "before" else ["erase"]
    return parts | {name: _zero(parts[name], begins) for name in seen_before}


def _zero(x: Array | None, where: Bool[Array, "B T"]) -> Array | None:
    if x is None:
        return None
    return jnp.where(where[:, None, :].reshape(where.shape[0], 1, -1, *[1] * (x.ndim - 3)), 0, x)


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
    full = {1: (heads,), rank - 1: key_shape[:-1], rank: key_shape}.get(decay.ndim)
    if full is None or not _broadcasts(decay.shape, full) or (decay.ndim == 1 and decay.shape != full):
        raise ValueError(
            f"decay has shape {list(decay.shape)}: expected [{heads}] (K), or one that broadcasts to "
            f"{list(key_shape[:-1])} (*B, T, K) or {list(key_shape)} (*B, T, K, H)"
        )
    if not isinstance(decay, jax.core.Tracer) and (np.asarray(decay, np.float64) > 0).any():
        highest = np.nanmax(np.asarray(decay, np.float64))
        raise ValueError(f"decay reaches up to {highest:.4g}: expected logarithms of decays, at most 0")
    return decay


def _integers(name: str, x: Any, full: tuple[int, ...], axes: str) -> Array:
    x = array(name, x)
    if not jnp.issubdtype(x.dtype, jnp.integer):
        raise TypeError(f"{name} is an array of {x.dtype}: expected integers")
    if not _broadcasts(x.shape, full):
        raise ValueError(
            f"{name} has shape {list(x.shape)}: expected one that broadcasts to {list(full)} ({axes})"
        )
    return x


def _broadcasts(shape: tuple[int, ...], full: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, full) == full
    except ValueError:
        return False
