"""Recurrences over tokens in shards on a mesh axis: the state that each shard begins with.

What a shard does to the state is one affine map, whatever its tokens. Those of the shards before it are
composed pairwise, in ⌈log₂ n⌉ steps, as a parallel prefix sum (Martin & Cundy, 2018, arXiv:1709.04057; LASP,
Sun et al., 2024, arXiv:2404.02882, passes states one by one).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from attnjax.ops.linear.call import RecurrenceCall
from attnjax.ops.linear.tokens import Tokens


class Affine(NamedTuple):
    """The map S → kept S + added; `kept` is a matrix, or what a diagonal has for each row."""

    kept: Float[Array, "B K H H"] | Float[Array, "B K H|1 1"]
    added: Float[Array, "B K H V"]


def state_before(
    run: Callable[[Tokens, Array], tuple[Array, Array]],
    tokens: Tokens,
    state: Float[Array, "B K H V"],
    axis: str,
) -> Float[Array, "B K H V"]:
    """Returns the state before this shard's tokens from the one before all tokens.

    `run` gives outputs and the last state of all rows and heads.
    """
    own = _map_of(run, tokens, state)
    apply: Callable[[Array, Array], Array] = jnp.multiply if tokens.erase is None else jnp.matmul
    before = _exclusive(own, apply, axis)
    return apply(before.kept, state) + before.added


def last_state(state: Float[Array, "B K H V"], axis: str) -> Float[Array, "B K H V"]:
    """Returns the state after the last shard, on every device."""
    last = jax.lax.axis_index(axis) == jax.lax.axis_size(axis) - 1
    return jax.lax.psum(jnp.where(last, state, 0), axis)


def begins_here(call: RecurrenceCall, axis: str) -> Bool[Array, "B 1"] | None:
    """Returns whether a segment begins with this shard, by the last id of the shard before it."""
    if call.segment_ids is None:
        return None
    shape = call.key.shape[:-2]
    ids = jnp.broadcast_to(call.segment_ids, shape).reshape(-1, shape[-1])
    before = _from_before(ids[:, -1:], 1, axis)
    return (ids[:, :1] != before) & (jax.lax.axis_index(axis) > 0)


def _map_of(run: Callable[[Tokens, Array], tuple[Array, Array]], tokens: Tokens, state: Array) -> Affine:
    """Returns what the tokens do to a state: with erase as columns of a state that begins as the identity."""
    if tokens.erase is None:
        added = run(tokens, jnp.zeros_like(state))[1]
        if tokens.decay is None:
            return Affine(jnp.ones_like(state[..., :1, :1]), added)
        kept = jnp.exp(tokens.decay.sum(2))
        return Affine(kept.reshape(*state.shape[:2], -1, 1), added)
    size, width = state.shape[-2:]
    nothing = jnp.zeros((*tokens.value.shape[:-1], size), state.dtype)
    identity = jnp.broadcast_to(jnp.eye(size, dtype=state.dtype), (*state.shape[:2], size, size))
    wide = tokens._replace(value=jnp.concatenate([tokens.value, nothing], -1))
    both = run(wide, jnp.concatenate([jnp.zeros_like(state), identity], -1))[1]
    return Affine(both[..., width:], both[..., :width])


def _exclusive(own: Affine, apply: Callable[[Array, Array], Array], axis: str) -> Affine:
    """Returns the composition of the maps of the devices before this one."""
    device, devices = jax.lax.axis_index(axis), jax.lax.axis_size(axis)
    none = Affine(_identity(own.kept, apply), jnp.zeros_like(own.added))

    def before(found: Affine, by: int) -> Affine:
        coming = Affine(*(_from_before(x, by, axis) for x in found))
        return Affine(*(jnp.where(device >= by, x, y) for x, y in zip(coming, none, strict=True)))

    found, step = before(own, 1), 1
    while step < devices:
        first = before(found, step)
        found = Affine(apply(found.kept, first.kept), apply(found.kept, first.added) + found.added)
        step *= 2
    return found


def _identity(kept: Array, apply: Callable[[Array, Array], Array]) -> Array:
    if apply is jnp.multiply:
        return jnp.ones_like(kept)
    return jnp.broadcast_to(jnp.eye(kept.shape[-1], dtype=kept.dtype), kept.shape)


def _from_before(x: Any, by: int, axis: str) -> Any:
    """Returns x of the device `by` before this one; zeros where there is none."""
    pairs = [(device, device + by) for device in range(jax.lax.axis_size(axis) - by)]
    return jax.lax.ppermute(x, axis, pairs) if pairs else jnp.zeros_like(x)
