"""The blockwise engine with kernels of other libraries in its place on the platforms that have them.

The kernel gives the output and the first derivative in reverse, the blockwise engine all the rest: forward
mode and derivatives of derivatives. What a backward pass keeps is what the blockwise engine keeps, so that a
program for a platform without a kernel is the same as ever; the kernel's backward pass runs its forward pass
again, which XLA merges with the first where both are in one computation.

The kernels' own backward passes read weights from exp(score - lse), so their gradients have fewer digits the
farther the scores of a row are from 0: errors of |score| · 2^-23, which exceed those of bfloat16 from 1e5 on.
The interpreters of "splash" and "pallas_gpu" show that, and that outputs are right up to 1e9; "cudnn" keeps
a log-sum-exp too, and cannot be looked at without a GPU. No bias moves a row so far: they take none.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array

from attnjax.ops.core.pairs import block, take_rows
from attnjax.ops.engines import blockwise, blockwise_derivatives
from attnjax.ops.engines.blocking import Blocking
from attnjax.ops.engines.by_platform import Body, Route, by_platform
from attnjax.ops.engines.call import AttentionCall, Result
from attnjax.ops.engines.kernel import Kernel, Pattern
from attnjax.ops.engines.linear_map import linear_map


@dataclasses.dataclass(frozen=True)
class WithKernels:
    """An engine: each platform's kernel where one is given, else the blocks.

    `asked`: the name of the kernel that was asked for, without which the program must not run. `blocking`:
    None = chosen when the program is traced.
    """

    kernels: tuple[Kernel, ...]
    pattern: Pattern
    dtype: str
    asked: str | None = None
    blocking: Blocking | None = None

    def __call__(self, call: AttentionCall) -> Result:
        """Computes a call, by a kernel on the platforms that have one."""
        return blockwise.run(call, self.blocking, instead=functools.partial(_attend, self, False))

    def run(self, default: Body, body: Any, like: Body, args: list[Array]) -> Any:
        """`default(args)`, or `body(kernel, args)` on the platforms of a kernel."""
        routes = [Route(k.platforms, functools.partial(body, k)) for k in self.kernels]
        return by_platform(default, routes, like, args, self.asked)

    def attend(
        self, kernel: Kernel, cutting: Any, query: Array, key: Array, value: Array, scale: Array
    ) -> Array:
        """Returns out [B, T, N, V] of the query [B, T, N, H], key [B, S, K, H] and value [B, S, K, V]."""
        query, key, value = (cutting.load(x) for x in (query, key, value))
        query *= scale if kernel.prescaled else scale * query.shape[-1] ** 0.5
        out = kernel.attend(self.pattern, *(x.astype(self.dtype) for x in (query, key, value)))
        return out.astype(cutting.dtype)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _attend(
    engine: WithKernels, saving: bool, cutting: Any, floats: list[Array], fixed: blockwise.Fixed
) -> Any:
    """Returns what `blockwise.attend` does; beside a kernel's out stand ones, which are not to be used.

    `saving`: the kernel runs as its backward pass will run it again.
    """
    args, structure = jax.tree.flatten((floats, fixed))

    def blocks(args: list[Array]) -> list[Array]:
        return list(blockwise.attend(cutting, *jax.tree.unflatten(structure, args)))

    def kernel_out(kernel: Kernel, args: list[Array]) -> list[Array]:
        floats, fixed = jax.tree.unflatten(structure, args)
        attend = functools.partial(engine.attend, kernel, cutting)
        unknown = jnp.ones_like(floats[0][..., 0], cutting.dtype)
        out = jax.vjp(attend, *floats[:4])[0] if saving else attend(*floats[:4])
        out = out if fixed.nonfinite is None else out + _nonfinite(cutting, floats[4:], fixed)[..., None]
        return [out, unknown, unknown]

    def like(args: list[Array]) -> list[Array]:
        query, _, value, *_ = jax.tree.unflatten(structure, args)[0]
        query = query.astype(cutting.dtype)
        out = jnp.broadcast_to(query[..., :1], (*query.shape[:-1], value.shape[-1]))
        return [out, query[..., 0], query[..., 0]]

    return tuple(engine.run(blocks, kernel_out, like, args))


@functools.partial(_attend.defjvp, symbolic_zeros=True)
def _attend_jvp(engine: WithKernels, saving: bool, cutting: Any, primals: Any, tangents: Any) -> Any:
    floats, fixed = primals
    out, highest, total = _attend(engine, True, cutting, floats, fixed)
    wanted = tuple(not isinstance(t, SymbolicZero) for t in tangents[0])
    residuals, structure = jax.tree.flatten((floats, fixed, out, highest, total))
    moved = [t for t, w in zip(tangents[0], wanted, strict=True) if w]
    # One map for each, because a kernel knows the derivative of out only; nothing asks for that of the
    # log-sum-exp before derivatives of derivatives.
    d_out, d_lse = (
        linear_map(
            functools.partial(_tangent, engine, cutting, wanted, structure, place),
            functools.partial(_backward, engine, cutting, wanted, structure, place),
            residuals,
            moved,
        )[0]
        for place in (0, 1)
    )
    return (out, highest, total), (d_out, jnp.zeros_like(highest), total * d_lse)


def _tangent(
    engine: WithKernels,
    cutting: Any,
    wanted: tuple[bool, ...],
    structure: Any,
    place: int,
    residuals: list[Array],
    vectors: list[Array],
    transposable: bool,
) -> list[Array]:
    """The tangent of out (place 0) or of the log-sum-exp (place 1)."""
    residuals = _with_sums(engine, cutting, structure, residuals)
    return [
        blockwise_derivatives.tangent(cutting, wanted, structure, residuals, vectors, transposable)[place]
    ]


def _backward(
    engine: WithKernels,
    cutting: Any,
    wanted: tuple[bool, ...],
    structure: Any,
    place: int,
    residuals: list[Array],
    cotangents: list[Array],
    transposable: bool,
) -> list[Array]:
    """The cotangents of the wanted floats from that of out (place 0) or of the log-sum-exp (place 1)."""
    count = len(residuals)

    def blocks(args: list[Array], transposable: bool = False) -> list[Array]:
        _, _, out, _, total = jax.tree.unflatten(structure, args[:count])
        both = [args[count], jnp.zeros_like(total)] if place == 0 else [jnp.zeros_like(out), args[count]]
        return blockwise_derivatives.backward(cutting, wanted, structure, args[:count], both, transposable)

    def kernel_gradients(kernel: Kernel, args: list[Array]) -> list[Array]:
        floats = jax.tree.unflatten(structure, args[:count])[0]
        _, pull = jax.vjp(functools.partial(engine.attend, kernel, cutting), *floats[:4])
        # What else is a float belongs to the mask, which has no derivative.
        return chosen([*pull(args[count]), *(jnp.zeros_like(x) for x in floats[4:])])

    def like(args: list[Array]) -> list[Array]:
        return chosen(jax.tree.unflatten(structure, args[:count])[0])

    def chosen(floats: Any) -> list[Array]:
        return [x for x, w in zip(floats, wanted, strict=True) if w]

    if transposable or place == 1:
        residuals = _with_sums(engine, cutting, structure, residuals)
        return blocks([*residuals, *cotangents], transposable)
    return engine.run(blocks, kernel_gradients, like, [*residuals, *cotangents])


def _with_sums(engine: WithKernels, cutting: Any, structure: Any, residuals: list[Array]) -> list[Array]:
    floats, fixed, out, *sums = jax.tree.unflatten(structure, residuals)
    return jax.tree.leaves((floats, fixed, out, *_true_sums(engine, cutting, sums, (floats, fixed))))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _true_sums(engine: WithKernels, cutting: Any, sums: list[Array], operands: Any) -> list[Array]:
    """The highest scores and the sums of rows, computed where a kernel left them out."""
    args, structure = jax.tree.flatten((sums, operands))

    def blocks(kernel: Kernel, args: list[Array]) -> list[Array]:
        return list(blockwise.attend(cutting, *jax.tree.unflatten(structure, args)[1])[1:])

    return engine.run(lambda args: args[:2], blocks, lambda args: args[:2], args)


@_true_sums.defjvp
def _true_sums_jvp(engine: WithKernels, cutting: Any, primals: Any, tangents: Any) -> Any:
    """The derivative is the one that the sums came with: that of the logarithm of the total."""
    (_, given), (highest, total) = primals[0], _true_sums(engine, cutting, *primals)
    d_highest, d_given = tangents[0]
    return [highest, total], [d_highest, total * blockwise_derivatives.inverse(given) * d_given]


def _nonfinite(cutting: Any, params: list[Array], fixed: blockwise.Fixed) -> Array:
    """NaN for each query [B, T, N] that holds one or attends a key or value that does, else 0."""
    assert fixed.nonfinite is not None
    rules = cutting.rules(params, fixed.data)
    sizes, shape = rules.sizes, fixed.nonfinite.query.shape
    bad_keys = jnp.repeat(jnp.isnan(jnp.swapaxes(fixed.nonfinite.key, 1, 2)), cutting.shared, axis=1)
    bad_queries = jnp.isnan(fixed.nonfinite.query)

    def row(i: Array) -> Array:
        at = block(sizes, i[None], jnp.arange(sizes.keys))
        attended = take_rows(rules.mask, i[None]).evaluate(at)[:, :, 0]
        return jnp.any(attended & (bad_keys | bad_queries[:, i, :, None]), axis=-1)

    spoilt = jax.lax.cond(
        bad_keys.any() | bad_queries.any(),
        lambda: jnp.moveaxis(jax.lax.map(row, jnp.arange(shape[1])), 0, 1),
        lambda: jnp.zeros(shape, bool),
    )
    return jnp.where(spoilt, jnp.nan, 0).astype(fixed.nonfinite.query.dtype)
