"""What jax does outside of jit, by NumPy: each operation in each shape is a program; tests have thousands.

To compile `x + 1`, `jnp.ones(shape)` or `x[0]` takes 15 milliseconds. NumPy moves numbers and rounds one
operation as XLA does, bit for bit, which tests/test_eager.py holds; whatever else it is, jax computes it.
"""

import functools
import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax._src import core, pjit

LARGEST = 2**14
"""Of the arrays; where they are larger, a program pays."""
OFTEN = 50
"""Calls of one program after which it is compiled: jax then calls it more quickly."""
# The functions of jax by whose names programs are called; one's own programs are compiled always.
NAMES = set(
    """_broadcast_arrays _reduce_all _reduce_any _reduce_max _reduce_min _roll_static _squeeze _where
    abs add broadcast_in_dim concatenate convert_element_type copy dynamic_slice eq equal
    expand_dims flip greater greater_equal gt invert iota isfinite less less_equal logical_and
    logical_not logical_or lt matrix_transpose maximum minimum moveaxis multiply ne negative
    not_equal ravel reshape rev select_n slice sqrt squeeze stack stage subtract swapaxes
    transpose true_divide unstack""".split()
)


def _broadcast(x: Any, *, shape: Any, broadcast_dimensions: Any, **_: Any) -> Any:
    sizes = np.ones(len(shape), int)
    sizes[list(broadcast_dimensions)] = x.shape
    return np.broadcast_to(x.reshape(sizes), shape)


def _dynamic_slice(x: Any, *starts: Any, slice_sizes: Any) -> Any:
    at = [
        min(max(int(i), 0), whole - size) for i, whole, size in zip(starts, x.shape, slice_sizes, strict=True)
    ]
    return x[tuple(slice(i, i + size) for i, size in zip(at, slice_sizes, strict=True))]


def _iota(*, dtype: Any, shape: Any, dimension: int, **_: Any) -> Any:
    along = np.arange(shape[dimension]).astype(dtype)
    return _broadcast(along, shape=shape, broadcast_dimensions=[dimension])


def _slice(x: Any, *, start_indices: Any, limit_indices: Any, strides: Any) -> Any:
    strides = strides or [1] * x.ndim
    return x[tuple(map(slice, start_indices, limit_indices, strides))]


def _reshape(x: Any, *, new_sizes: Any, dimensions: Any, **_: Any) -> Any:
    return (x if dimensions is None else x.transpose(dimensions)).reshape(new_sizes)


MOVES: dict[str, Callable[..., Any]] = {
    "broadcast_in_dim": _broadcast,
    "concatenate": lambda *xs, dimension: np.concatenate(xs, dimension),
    "convert_element_type": lambda x, *, new_dtype, **_: x.astype(new_dtype),
    "copy": lambda x: x,
    "dynamic_slice": _dynamic_slice,
    "iota": _iota,
    "reshape": _reshape,
    "rev": lambda x, *, dimensions: np.flip(x, dimensions),
    "select_n": lambda which, *cases: (
        np.choose(which, cases) if len(cases) > 2 else np.where(which, *cases[::-1])
    ),
    "slice": _slice,
    "squeeze": lambda x, *, dimensions: np.squeeze(x, tuple(dimensions)),
    "stack": lambda *xs, axis: np.stack(xs, axis),
    "stage": lambda x, **_: x,
    "transpose": lambda x, *, permutation: x.transpose(permutation),
    "unstack": lambda x, *, axis: list(np.moveaxis(x, axis, 0)),
}
# What computes: a subnormal number is 0 to XLA.
ROUNDS: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "add": np.add,
    "and": np.bitwise_and,
    "div": np.divide,
    "eq": np.equal,
    "ge": np.greater_equal,
    "gt": np.greater,
    "is_finite": np.isfinite,
    "le": np.less_equal,
    "lt": np.less,
    "max": np.maximum,
    "min": np.minimum,
    "mul": np.multiply,
    "ne": np.not_equal,
    "neg": np.negative,
    "not": np.invert,
    "or": np.bitwise_or,
    "reduce_and": lambda x, *, axes, **_: np.bitwise_and.reduce(x, tuple(axes)),
    "reduce_max": lambda x, *, axes, **_: np.max(x, tuple(axes)),
    "reduce_min": lambda x, *, axes, **_: np.min(x, tuple(axes)),
    "reduce_or": lambda x, *, axes, **_: np.bitwise_or.reduce(x, tuple(axes)),
    "sqrt": np.sqrt,
    "sub": np.subtract,
}
"""One to a program: what XLA fuses, it may round once."""


class _JaxDoes(Exception):
    """NumPy may not."""


@contextmanager
def by_numpy(whether: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Operations outside of jit are NumPy's, as long as `whether`: that of the innermost such block."""
    before, calls = pjit._pjit_call_impl_python, Counter[int]()
    compiled = inspect.unwrap(before)
    kept: dict[int, Any] = {}  # So that no other program gets the id of one that is counted.

    @functools.wraps(compiled)
    def call(*args: Any, **params: Any) -> Any:
        jaxpr = params["jaxpr"]
        if params["name"] not in NAMES or calls[id(jaxpr)] >= OFTEN or not whether():
            return compiled(*args, **params)
        calls[id(jaxpr)] += 1
        kept[id(jaxpr)] = jaxpr
        try:
            with np.errstate(all="ignore"):
                found = _computed(args, **params)
        except _JaxDoes:
            calls[id(jaxpr)] = OFTEN
            return compiled(*args, **params)
        return [jax.device_put(x, may_alias=False) for x in found], None, None, []

    pjit._pjit_call_impl_python = call
    try:
        yield
    finally:
        pjit._pjit_call_impl_python = before


def _computed(
    args: Any, *, jaxpr: Any, ctx_mesh: Any, donated_invars: Any, **params: Any
) -> list[np.ndarray]:
    layouts = [
        x for name, given in params.items() if name[-10:] in ("_shardings", "in_layouts") for x in given
    ]
    unset = all(x is None or type(x).__name__ == "UnspecifiedValue" for x in layouts)
    if not unset or not ctx_mesh.empty or any(donated_invars) or jaxpr.effects:
        raise _JaxDoes
    if jax.config.jax_default_device is not None or jax.config.jax_debug_nans or jax.config.jax_debug_infs:
        raise _JaxDoes
    if any(x.weak_type or x.size > LARGEST for x in jaxpr.out_avals) or not all(map(_is_plain, args)):
        raise _JaxDoes
    if sum(_rounds(jaxpr.jaxpr)) > 1:
        raise _JaxDoes
    found = _evaluated(
        jaxpr, [np.asarray(x, aval.dtype) for x, aval in zip(args, jaxpr.in_avals, strict=True)]
    )
    for x, aval in zip(found, jaxpr.out_avals, strict=True):
        if x.dtype != aval.dtype or x.shape != aval.shape:
            raise _JaxDoes
    return found


def _is_plain(x: Any) -> bool:
    """A number or an array of them that lies where jax puts it."""
    if isinstance(x, jax.Array):
        numbers = not jax.dtypes.issubdtype(x.dtype, jax.dtypes.extended)
        return numbers and x.size <= LARGEST and not x.committed
    return isinstance(x, np.ndarray | np.generic | int | float)


def _rounds(jaxpr: Any) -> Iterator[bool]:
    """Whether each operation rounds; raises _JaxDoes for one that NumPy does otherwise."""
    for eqn in jaxpr.eqns:
        name, types = eqn.primitive.name, [v.aval.dtype for v in (*eqn.invars, *eqn.outvars)]
        if name in ("jit", "pjit"):
            yield from _rounds(eqn.params["jaxpr"].jaxpr)
        elif name in ROUNDS:
            if name in ("div", "sqrt") and not all(jax.dtypes.issubdtype(t, np.floating) for t in types):
                raise _JaxDoes
            yield name not in ("and", "or", "not") and types[0].kind not in "biu"
        elif name not in MOVES or (name == "convert_element_type" and _casts_otherwise(*types)):
            raise _JaxDoes
        else:
            yield False


def _casts_otherwise(old: np.dtype, new: np.dtype) -> bool:
    """From what may be too large for an integer; of numbers of few bits, which may round twice; of keys."""
    return not {old.kind, new.kind} <= set("biuf") or (old.kind == "f" and new.kind in "iu")


def _has_subnormal(x: np.ndarray) -> bool:
    """Which XLA takes for 0."""
    floating = jax.dtypes.issubdtype(x.dtype, np.floating)
    return floating and bool(((x != 0) & (np.abs(x) < jax.numpy.finfo(x.dtype).tiny)).any())


def _evaluated(closed: Any, args: list[Any]) -> list[np.ndarray]:
    jaxpr = closed.jaxpr
    known = dict(
        zip((*jaxpr.constvars, *jaxpr.invars), (*map(np.asarray, closed.consts), *args), strict=True)
    )

    def value(atom: Any) -> Any:
        return np.asarray(atom.val, atom.aval.dtype) if isinstance(atom, core.Literal) else known[atom]

    for eqn in jaxpr.eqns:
        given, name = [value(x) for x in eqn.invars], eqn.primitive.name
        if name in ("jit", "pjit"):
            found = _evaluated(eqn.params["jaxpr"], given)
        else:
            fn = MOVES.get(name)
            options = eqn.params if fn or name.startswith("reduce") else {}
            if not all(x.size for x in given):
                raise _JaxDoes
            found = (fn or ROUNDS[name])(*given, **options)
            found = found if eqn.primitive.multiple_results else [found]
            if fn is None and any(map(_has_subnormal, (*given, *found))):
                raise _JaxDoes
        known |= zip(eqn.outvars, map(np.asarray, found), strict=True)
    return [value(x) for x in jaxpr.outvars]
