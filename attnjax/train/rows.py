"""Updates of the few rows of a large table that a batch reads, as if there were no others."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from jaxtyping import Array, Int

from attnjax.tasks.base import ReadsRows
from attnjax.train.patterns import name_of

Rows = dict[str, Int[Array, " R"]]
"""The rows of parameters by name, sorted; numbers past the last row stand for none."""
Touched = Callable[[Mapping[str, Array]], tuple[dict[str, Array], Rows]]
"""The method `touched` of `ReadsRows`."""


def touched_by(task: Any) -> Touched | None:
    """Returns the function that tells which rows a batch of a task reads; None where all are updated."""
    return task.touched if isinstance(task, ReadsRows) and task.reads_rows else None


def taken(tree: Any, rows: Rows, sizes: Mapping[str, int]) -> Any:
    """Returns a state in which tables, and what the optimiser keeps of them, have the given rows alone.

    Args:
      tree: a pytree of arrays; a table is what has the name of one at the end of its own, and its rows.
      rows: of each table by name.
      sizes: the number of rows of each table.

    Example:
      >>> import jax.numpy as jnp
      >>> taken({"mean": {"table": jnp.arange(4.0)}}, {"table": jnp.array([1, 3])}, {"table": 4})
      {'mean': {'table': Array([1., 3.], dtype=float32)}}
    """

    def take(path: tuple[Any, ...], leaf: Array) -> Array:
        own = _rows_of(path, leaf, rows, sizes)
        return leaf if own is None else leaf.at[own].get(mode="fill", fill_value=0, indices_are_sorted=True)

    return jax.tree_util.tree_map_with_path(take, tree)


def put_back(tree: Any, changed: Any, rows: Rows, sizes: Mapping[str, int]) -> Any:
    """Returns the state with what was made of the rows that `taken` took."""

    def put(path: tuple[Any, ...], leaf: Array, new: Array) -> Array:
        own = _rows_of(path, leaf, rows, sizes)
        if own is None:
            return new
        return leaf.at[own].set(new, mode="drop", indices_are_sorted=True, unique_indices=True)

    return jax.tree_util.tree_map_with_path(put, tree, changed)


def sizes_of(params: Any, rows: Rows) -> dict[str, int]:
    """Returns the number of rows of each table."""
    found = {name_of(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    return {name: len(found[name]) for name in rows}


def _rows_of(path: tuple[Any, ...], leaf: Array, rows: Rows, sizes: Mapping[str, int]) -> Array | None:
    name = name_of(path)
    for table, own in rows.items():
        if (name == table or name.endswith(f".{table}")) and leaf.shape[:1] == (sizes[table],):
            return own
    return None
