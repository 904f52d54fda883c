"""Immutable nodes that are pytrees: arrays are leaves, Python numbers and functions are structure."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np


def static() -> Any:
    """Returns a field that is structure: a program is compiled for each of its values."""
    return dataclasses.field(metadata={"kind": "static"})


def position() -> Any:
    """Returns a field that is structure where it is a Python int (or several, a range, or None), else data.

    Masks classify tiles before a program runs, and can do so for positions that are known by then.
    """
    return dataclasses.field(metadata={"kind": "position"})


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(static, position))
class PytreeNode:
    """Base of frozen dataclasses that are pytrees, whose fields declare what they are.

    A field declared by `static()` is structure, one by `position()` is structure where it is an int; any
    other is data, a number too: so a program compiled for one value of it serves all. Which fields are data
    is remembered, so that a tree whose leaves were replaced (by None, by ints as for `vmap`'s in_axes) keeps
    its structure.

    Nodes are equal, and hash alike, when they are built alike of equal numbers and functions and of the same
    arrays: so they can be static arguments, and modules that hold equal ones have one structure. Arrays are
    told apart by identity alone, because the values of some are traced; a node with an array of NumPy, which
    may change, equals only itself.

    Raises:
      TypeError: a field of data holds a function or a string.
    """

    _children: tuple[str, ...]

    def __init_subclass__(cls) -> None:
        dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)
        jax.tree_util.register_pytree_with_keys(
            cls, PytreeNode._flatten, lambda aux, children: _unflatten(cls, aux, children)
        )

    def __post_init__(self) -> None:
        children = []
        for f in dataclasses.fields(self):  # type: ignore[arg-type]
            value, kind = _plain(getattr(self, f.name)), f.metadata.get("kind", "data")
            object.__setattr__(self, f.name, value)
            if kind == "data" and (isinstance(value, str) or _is_function(value)):
                raise TypeError(f"{f.name} is {value!r}: expected data, declare {f.name} by static()")
            if kind == "data" or (kind == "position" and not _is_known(value)):
                children.append(f.name)
        object.__setattr__(self, "_children", tuple(children))

    def __eq__(self, other: object) -> bool:
        return self._identity() == other._identity() if isinstance(other, PytreeNode) else NotImplemented

    def __hash__(self) -> int:
        # jax hashes no more than the shape of a tree.
        return hash((self._flatten()[1], self._identity()))

    def __repr__(self) -> str:
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()
        values = (getattr(self, f.name) for f in dataclasses.fields(self))  # type: ignore[arg-type]
        return f"{name}({', '.join(shown(value) for value in values if value is not None)})"

    def _identity(self) -> tuple[Any, ...]:
        leaves, structure = jax.tree.flatten(self)

        def key(leaf: Any) -> Any:
            known = isinstance(leaf, (int, float, np.generic))
            return leaf if known else id(self if isinstance(leaf, np.ndarray) else leaf)

        return structure, *map(key, leaves)

    def _flatten(self) -> tuple[list[tuple[Any, Any]], Any]:
        children = [(jax.tree_util.GetAttrKey(n), getattr(self, n)) for n in self._children]
        static = tuple(
            (f.name, getattr(self, f.name))
            for f in dataclasses.fields(self)  # type: ignore[arg-type]
            if f.name not in self._children
        )
        return children, (self._children, static)


def _is_known(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_is_known(v) for v in value)
    return value is None or isinstance(value, (int, range))


def _is_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, (PytreeNode, jax.Array))


def _plain(value: Any) -> Any:
    """Returns NumPy's integers as Python's, other values as they are."""
    return int(value) if isinstance(value, np.integer) else value


def _unflatten(cls: type, aux: Any, children: Any) -> Any:
    names, static = aux
    node: Any = object.__new__(cls)
    for name, value in (*static, *zip(names, children, strict=True)):
        object.__setattr__(node, name, value)
    object.__setattr__(node, "_children", names)
    return node


def shown(value: Any) -> str:
    """Returns a field as a repr shows it: an array by dtype and shape, a function by its name."""
    value = getattr(value, "array", value)
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(shown, value))}]"
    return getattr(value, "__name__", str(value))


def replace(node: Any, **fields: Any) -> Any:
    """Returns the node with other values in some fields, through its ordinary construction."""
    return dataclasses.replace(node, **fields)


def library(*arrays: Any) -> Any:
    """Returns numpy if all the arrays are its own, which are known while tracing; else jax.numpy."""
    return np if all(isinstance(x, (np.ndarray, np.generic)) for x in arrays) else jnp


def known(fn: Callable[..., Any], *static: Any) -> Any:
    """Returns `fn(*static)` as NumPy arrays, computed at once even while tracing.

    As one program without arrays as arguments: a `jax.transfer_guard` forbids what eager operations move,
    those of `jax.ensure_compile_time_eval` too.
    """
    return jax.device_get(jax.jit(fn, static_argnums=range(len(static))).lower(*static).compile()())


def traced(tree: Any) -> bool:
    """Returns whether some array of the tree is unknown as yet."""
    return any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(tree))


def varying(tree: Any, operands: Any) -> Any:
    """The arrays of a tree as varying over a `shard_map`'s axes as the operands together.

    A loop insists that its carry varies from the start as what a step adds to it.
    """
    if not jax.sharding.get_abstract_mesh().manual_axes:
        return tree
    # Without a derivative, which would keep zeros of each operand's size.
    leaves = [_numbers(x) for x in jax.lax.stop_gradient(jax.tree.leaves(operands))]
    nothing: Any = sum(jnp.where(False, x, 0).sum().astype(jnp.float32) for x in leaves)
    return jax.tree.map(lambda x: x + nothing.astype(x.dtype), tree)


def _numbers(x: Any) -> Any:
    """Keys of jax.random as numbers; other arrays as they are."""
    return jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x
