"""The cross-entropy over all items, of which a chunk at a time is scored."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attnjax.ops.core.dtypes import accumulation_dtype

CHUNK = 4096
"""Items scored at a time."""


def item_cross_entropy(
    states: Float[Array, "N D"],
    table: Float[Array, "V D"],
    labels: Int[Array, " N"],
    *,
    items: int | None = None,
    chunk: int = CHUNK,
) -> Float[Array, " N"]:
    """Returns log Σ_v exp(x·e_v) - x·e_label of each place, over all items and exactly.

    Neither it nor its gradient holds more than N·chunk scores: the gradient scores each chunk again.

    Args:
      states: x of the places.
      table: e of the items, one a row.
      labels: the right item of each place.
      items: the number of rows that are items, the first ones; None: all.
      chunk: items scored at a time; it changes the result by rounding alone.

    Returns:
      The losses, in float32 or better.

    Raises:
      ValueError: shapes do not fit, or items or chunk are no number of rows.

    References:
      Klenitskiy & Vasilev, Turning Dross Into Gold Loss: is BERT4Rec really better than SASRec?, 2023,
      arXiv:2309.07602 (the whole softmax for SASRec).

    Example:
      >>> losses = item_cross_entropy(jnp.zeros((2, 3)), jnp.ones((4, 3)), jnp.array([0, 3]), chunk=3)
      >>> print(jnp.exp(losses).round(4))  # Four items, none of them likelier.
      [4. 4.]
    """
    items = len(table) if items is None else items
    require_table(states, table, items, chunk)
    if labels.shape != states.shape[:1]:
        raise ValueError(f"labels {list(labels.shape)}: expected {list(states.shape[:1])} (N)")
    return _losses(states, table, labels, items, min(chunk, items))


def require_table(states: Array, table: Array, items: int, chunk: int) -> None:
    """Raises ValueError where states and table have other widths, or there are no such rows."""
    if states.ndim != 2 or table.ndim != 2 or states.shape[1] != table.shape[1]:
        raise ValueError(f"states {list(states.shape)}, table {list(table.shape)}: expected (N, D), (V, D)")
    if not 1 <= items <= len(table):
        raise ValueError(f"items is {items}: expected 1 to {len(table)}, the rows of the table")
    if chunk < 1:
        raise ValueError(f"chunk is {chunk}: expected 1 or more")


def over_chunks(step: Callable[[Any, Array, Array], Any], first: Any, items: int, chunk: int) -> Any:
    """Returns what `step` makes of `first`, chunk after chunk of the items.

    Each call has the first item of its chunk, and True for those of its items that no chunk before had: the
    last one begins where it ends with the last item.
    """
    places = jnp.arange(0, items, chunk, dtype=jnp.int32)
    starts = jnp.minimum(places, items - chunk)
    own = jnp.arange(chunk, dtype=jnp.int32)

    def scanned(carry: Any, at: tuple[Array, Array]) -> tuple[Any, None]:
        start, place = at
        return step(carry, start, start + own >= place), None

    return jax.lax.scan(scanned, first, (starts, places))[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _losses(states: Array, table: Array, labels: Array, items: int, chunk: int) -> Array:
    return _forward(states, table, labels, items, chunk)[0]


def _forward(states: Array, table: Array, labels: Array, items: int, chunk: int) -> tuple[Array, Any]:
    dtype = accumulation_dtype(states, table)

    def step(sums: tuple[Array, Array], start: Array, new: Array) -> tuple[Array, Array]:
        highest, total = sums
        scores = jnp.where(new, _scores(states, table, start, chunk, dtype), -jnp.inf)
        higher = jnp.maximum(highest, scores.max(-1))
        total = total * jnp.exp(highest - higher) + jnp.exp(scores - higher[:, None]).sum(-1)
        return higher, total

    first = jnp.full(len(states), jnp.finfo(dtype).min, dtype), jnp.zeros(len(states), dtype)
    highest, total = over_chunks(step, first, items, chunk)
    lse = highest + jnp.log(total)
    own = jnp.einsum("nd,nd->n", states, table[labels], preferred_element_type=dtype)
    return lse - own, (states, table, labels, lse)


def _backward(items: int, chunk: int, kept: Any, given: Array) -> tuple[Array, Array, None]:
    states, table, labels, lse = kept
    dtype = lse.dtype

    def step(gradients: tuple[Array, Array], start: Array, new: Array) -> tuple[Array, Array]:
        of_states, of_table = gradients
        rows = jax.lax.dynamic_slice_in_dim(table, start, chunk)
        shares = jnp.exp(_scores(states, table, start, chunk, dtype) - lse[:, None]) * given[:, None]
        shares = jnp.where(new, shares, 0)
        of_states = of_states + jnp.einsum("nc,cd->nd", shares, rows, preferred_element_type=dtype)
        own = jnp.einsum("nc,nd->cd", shares, states, preferred_element_type=dtype)
        before = jax.lax.dynamic_slice_in_dim(of_table, start, chunk)
        return of_states, jax.lax.dynamic_update_slice_in_dim(of_table, before + own, start, axis=0)

    of_states = -given[:, None] * table[labels].astype(dtype)
    of_table = jnp.zeros(table.shape, dtype).at[labels].add(-given[:, None] * states.astype(dtype))
    of_states, of_table = over_chunks(step, (of_states, of_table), items, chunk)
    return of_states.astype(states.dtype), of_table.astype(table.dtype), None


_losses.defvjp(_forward, _backward)


def _scores(states: Array, table: Array, start: Array, chunk: int, dtype: Any) -> Float[Array, "N C"]:
    rows = jax.lax.dynamic_slice_in_dim(table, start, chunk)
    return jnp.einsum("nd,cd->nc", states, rows, preferred_element_type=dtype)
