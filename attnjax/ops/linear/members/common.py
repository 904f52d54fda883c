"""Helpers that the members share: options they pass on, checks of their gates, padding, chunks of tokens."""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, Literal, ParamSpec, Protocol, TypedDict, cast, overload

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from attnjax.ops.core.checks import count, floats, whole
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.core.explicit_axes import automatic
from attnjax.ops.core.node import varying
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.linear.call import Form, make_call, spread

Arguments = ParamSpec("Arguments")


class Passed(TypedDict, total=False):
    """Options of the recurrence itself."""

    initial_state: Any
    segment_ids: Any
    lengths: Any
    form: Form | None
    chunk_size: int | None
    axis: str | None


class Options(Passed, total=False):
    """The options of a member, as in `linear_attention`; the state is the member's own, as it returns it."""

    return_state: bool


def passed(options: Options, **others: Any) -> Passed:
    """Returns the options without `return_state`, with others in their place."""
    kept = {name: x for name, x in options.items() if name != "return_state"} | others
    return cast(Passed, kept)


class Member(Protocol[Arguments]):
    """A member as a type checker sees it: its own arguments, and the output, or output and state."""

    # They overlap on purpose: the first that fits counts, and a parameter list cannot be taken apart.
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, *args: Any, return_state: Literal[True], **kwargs: Any
    ) -> tuple[Array, Any]: ...

    @overload
    def __call__(self, *args: Any, return_state: bool, **kwargs: Any) -> Any: ...

    @overload
    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Array: ...


def known_arguments(member: Callable[Arguments, Any]) -> Member[Arguments]:
    """Returns the member, which refuses by its own name what neither its signature nor `Options` has.

    Python sees `**options` and lets any name in: one that is ignored, or one of the recurrence inside.
    """
    own = inspect.signature(member).parameters.values()
    names = [p.name for p in own if p.kind is not p.VAR_KEYWORD] + list(Options.__annotations__)

    @functools.wraps(member)
    def checked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Any:
        unknown = next((name for name in kwargs if name not in names), None)
        if unknown is not None:
            raise TypeError(
                f"{member.__name__}() got an unexpected keyword argument {unknown!r}: "
                f"it takes {', '.join(names)}"
            )
        return member(*args, **kwargs)

    return cast(Member[Arguments], automatic(spread)(checked))


def entrance(query: Any, key: Any, value: Any, options: Options) -> tuple[Array, Array, Array]:
    """Returns query, key and value, checked, with zeros for padding.

    Features of a NaN there would have no derivative.
    """
    lengths = options.get("lengths")
    problem = make_call(query, key, value, segment_ids=options.get("segment_ids"), lengths=lengths)
    batch = problem.key.ndim - 3
    return tuple(blank(x, lengths, batch) for x in problem[:3])  # type: ignore[return-value]


def refuse_shards(options: Options, why: str) -> None:
    """Raises ValueError for tokens in shards on a mesh axis."""
    if options.get("axis") is not None:
        raise ValueError(f"axis is {options['axis']!r}: expected None, {why}")


def live(lengths: Any, batch: tuple[int, ...], length: int) -> Bool[Array, "*B T"]:
    """A mask that is True for the tokens before each row's length."""
    ends = jnp.broadcast_to(jnp.asarray(lengths), batch)[..., None]
    return of_rank(jnp.arange(length, dtype=jnp.int32), ends.ndim) < ends


def blank(x: Array, lengths: Any, batch: int) -> Array:
    """Returns x [*B, T, …], `batch` axes before T, with zeros from each row's length on."""
    if lengths is None:
        return x
    alive = live(lengths, x.shape[:batch], x.shape[batch])
    return jnp.where(alive.reshape(*alive.shape, *[1] * (x.ndim - alive.ndim)), x, 0)


def gate(name: str, x: Any, shape: tuple[int, ...], axes: str, lengths: Any = None) -> Array:
    """Returns x, of the rank of `shape` (`axes`: "*B, T, …"), broadcast to it, with zeros in padding."""
    x = floats(name, x)
    if x.ndim != len(shape) or any(a not in (1, b) for a, b in zip(x.shape, shape, strict=True)):
        raise ValueError(
            f"{name} has shape {list(x.shape)}: expected {list(shape)} ({axes}), or 1 in place of a size"
        )
    after_batch = len(axes.split(", ")) - 1
    return blank(jnp.broadcast_to(x, shape), lengths, len(shape) - after_batch)


def per_head(name: str, x: Any, key: Array, options: Options) -> Float[Array, "*B T K"]:
    """Returns a checked gate per head and token, with zeros in padding."""
    return gate(name, x, key.shape[:-1], "*B, T, K", options.get("lengths"))


def per_channel(name: str, x: Any, key: Array, options: Options) -> Float[Array, "*B T K H"]:
    """Returns a checked gate per channel of the key and token, with zeros in padding."""
    return gate(name, x, key.shape, "*B, T, K, H", options.get("lengths"))


def parameter(name: str, x: Any, shape: tuple[int, ...], axes: str) -> Array:
    """Returns x, a parameter of exactly this shape."""
    x = floats(name, x)
    if x.shape != shape:
        raise ValueError(f"{name} has shape {list(x.shape)}: expected {list(shape)} ({axes})")
    return x


def not_negative(name: str, x: Array, *, nor_zero: bool = False) -> Array:
    """Returns x; raises ValueError for a known value below 0, with `nor_zero` also for 0."""
    if isinstance(x, jax.core.Tracer):
        return x
    values = np.asarray(x, np.float64)
    if (values < 0).any() or (nor_zero and (values == 0).any()):
        expected = "above 0" if nor_zero else "at least 0"
        raise ValueError(f"{name} goes down to {np.nanmin(values):.4g}: expected {expected}")
    return x


def require_layer(layer: int, layers: int) -> None:
    """Raises ValueError for a number of a layer that is none of so many, TypeError for what is no number."""
    if not 0 <= whole("layer", layer) < count("layers", layers):
        raise ValueError(f"layer is {layer}: expected at least 0 and below layers = {layers}")


def at_least_float32(x: Array) -> Array:
    """Returns x in the dtype that features and states are computed in."""
    return x.astype(accumulation_dtype(x))


def scan_chunks(
    step: Callable[[Any, Any], tuple[Any, Array]], state: Any, tokens: Any, chunk: int
) -> tuple[Any, Array]:
    """Computes `jax.lax.scan` over chunks of the tokens' first axis; gradients recompute a chunk's inside.

    The last chunk is filled up by repeating the last token's integers, and zeros of everything else: a token
    that writes, forgets and reads nothing.
    """
    length = jax.tree.leaves(tokens)[0].shape[0]
    chunks = -(-length // chunk)

    def split(x: Array) -> Array:
        integers = jnp.issubdtype(x.dtype, jnp.integer)
        widths = [(0, chunks * chunk - length), *[(0, 0)] * (x.ndim - 1)]
        x = jnp.pad(x, widths, mode="edge" if integers else "constant")
        return x.reshape(chunks, chunk, *x.shape[1:])

    state, tokens = varying((state, tokens), tokens)
    state, out = jax.lax.scan(jax.checkpoint(step), state, jax.tree.map(split, tokens))
    return state, out.reshape(out.shape[0] * out.shape[1], *out.shape[2:])[:length]


def rows_and_heads(x: Array, batch: int) -> Float[Array, "R K T ..."]:
    """Returns x [*B, T, K, …] with one axis of batch rows, and heads before tokens."""
    return jnp.swapaxes(x.reshape(math.prod(x.shape[:batch]), *x.shape[batch:]), 1, 2)
