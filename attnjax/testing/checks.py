"""The checks: each perturbs, reorders, cuts or transforms a call and measures what must not change by it.

Each is given a `Subject` and gives (the largest difference found, where) or says why it does not apply.
Differences are relative to the largest entry of what is compared.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array

from attnjax.nn.axes import logical_axes
from attnjax.ops import masks
from attnjax.testing.cost import operations
from attnjax.testing.subject import BATCH, DIM, HEADS, LENGTH, MOST_TOKENS, Subject, normal, tokens

LOUD = 10.0
"""Standard deviation of what replaces tokens that must not be seen."""
STEP = 1e-5
"""Of a central difference; its error falls with the square, rounding grows with the inverse."""
LENGTHS = (LENGTH, LENGTH - 3, 1)
COST_LENGTHS = (MOST_TOKENS // 4, MOST_TOKENS // 2, MOST_TOKENS)


class NotApplicable(Exception):
    """The reason why a check does not apply to a mechanism."""


@dataclass(frozen=True)
class Measured:
    """The largest difference that a check found, and where."""

    value: float
    where: str = ""


def future(subject: Subject) -> Measured:
    """No output depends on a later token."""
    if subject.sees_ahead or subject.two_sided_only:
        raise NotApplicable("it sees more than what came before, by its definition")
    x, mask = tokens(), masks.causal()
    out = subject.output(subject.params, x, mask)
    loud = LOUD * normal(x.shape, seed=1)

    def differences() -> Iterator[Measured]:
        for start in range(1, LENGTH):
            changed = subject.output(subject.params, x.at[:, start:].set(loud[:, start:]), mask)
            yield Measured(difference(changed[:, :start], out[:, :start]), f"tokens from {start} on")
            if difference(changed[:, start], out[:, start]) == 0:
                yield Measured(math.inf, f"token {start} does not even reach its own output")

    return largest(differences())


def padding(subject: Subject) -> Measured:
    """Whatever padding holds, it reaches no output of a token."""
    x, lengths = tokens(), jnp.array(LENGTHS)
    padded = jnp.arange(LENGTH)[None] >= lengths[:, None]

    def differences() -> Iterator[Measured]:
        kinds = {}
        if not subject.two_sided_only:
            kinds["causal"] = masks.causal() & masks.lengths(key=lengths)
        if not subject.causal_only:
            kinds["two-sided"] = masks.lengths(key=lengths)
        for kind, mask in kinds.items():
            expected = subject.output(subject.params, x, mask)
            for filling in (LOUD, math.nan):
                out = subject.output(subject.params, jnp.where(padded[..., None], filling, x), mask)
                for row, length in enumerate(LENGTHS):
                    where = f"{kind}, a row of {length} tokens before padding of {filling}"
                    yield Measured(difference(out[row, :length], expected[row, :length]), where)

    return largest(differences())


def segments(subject: Subject) -> Measured:
    """Packed sequences do not see each other."""
    if not subject.packs:
        raise NotApplicable("it cannot keep packed sequences apart, and refuses them")
    x, border = tokens(), LENGTH // 2 + 1
    second = jnp.arange(LENGTH) >= border
    apart = masks.segments(second.astype(jnp.int32))
    mask = apart if subject.two_sided_only else masks.causal() & apart
    out, loud = subject.output(subject.params, x, mask), LOUD * normal(x.shape, seed=4)

    def differences() -> Iterator[Measured]:
        for name, here in (("second", ~second), ("first", second)):
            changed = subject.output(subject.params, jnp.where(here[:, None], x, loud), mask)
            yield Measured(difference(changed[:, here], out[:, here]), f"tokens of the {name} segment")

    return largest(differences())


def gradient(subject: Subject) -> Measured:
    """Gradients of every parameter and of the input are those of central differences in float64."""
    x, mask = tokens(), subject.order
    weights = normal(x.shape, seed=2)

    def loss(inputs: tuple[Any, Array]) -> Array:
        return (subject.call(*inputs, mask)[0] * weights).sum()

    value, gradients = jax.jit(loss), jax.jit(jax.grad(loss))((subject.params, x))
    leaves, tree = jax.tree.flatten((subject.params, x))
    named = jax.tree.leaves_with_path(gradients)
    lengths = [float(jnp.sqrt((leaf**2).sum())) for _, leaf in named]

    def differences() -> Iterator[Measured]:
        for i, (path, leaf) in enumerate(named):
            direction = normal(leaf.shape, seed=3 + i)

            def at(step: float, i: int = i, direction: Array = direction) -> Array:
                moved = [y + step * direction if j == i else y for j, y in enumerate(leaves)]
                return value(jax.tree.unflatten(tree, moved))

            got = (leaf * direction).sum()
            # Where a normaliser changes its support within a step, a shorter one does not reach that far;
            # a wrong gradient is wrong for both.
            slopes = [(at(step) - at(-step)) / (2 * step) for step in (STEP, STEP / 100)]
            error = min(float(jnp.abs(got - slope)) for slope in slopes)
            # Some gradients are 0 by right, and rounding is of the size of all of them.
            scale = max(lengths[i], 1e-3 * max(lengths)) * math.sqrt(direction.size)
            name = jax.tree_util.keystr(path[1:], simple=True, separator=".").removesuffix(".value")
            yield Measured(error / max(scale, 1e-30), name or "the input")

    return largest(differences())


def decoding(subject: Subject) -> Measured:
    """A prefill of any length and then token by token are one pass."""
    if not subject.streaming:
        raise NotApplicable("it keeps no cache")
    x = tokens()
    expected = subject.output(subject.params, x, masks.causal())

    def differences() -> Iterator[Measured]:
        for prefill in range(1, LENGTH + 1):
            out, cache = subject.append(subject.params, x[:, :prefill], subject.empty_cache(BATCH, LENGTH))
            parts = [out]
            for t in range(prefill, LENGTH):
                out, cache = subject.append(subject.params, x[:, t : t + 1], cache)
                parts.append(out)
            yield Measured(difference(jnp.concatenate(parts, 1), expected), f"a prefill of {prefill}")

    return largest(differences())


def batch_order(subject: Subject) -> Measured:
    """Rows of a batch do not know each other."""
    x, mask, order = tokens(), subject.order, np.array([2, 0, 1])
    out = subject.output(subject.params, x, mask)
    rows = {"in other order": (x[order], out[order]), "a row alone": (x[:1], out[:1])}
    return largest(
        Measured(difference(subject.output(subject.params, some, mask), expected), where)
        for where, (some, expected) in rows.items()
    )


def head_order(subject: Subject) -> Measured:
    """Heads in another order give the same output."""
    if subject.heads_differ:
        raise NotApplicable("its heads differ by more than their parameters")
    order = np.roll(np.arange(HEADS), 1)

    def permuted(axes: tuple[str | None, ...], leaf: Array) -> Array:
        for axis, name in enumerate(axes):
            if name in ("heads", "kv_heads") and leaf.shape[axis] == HEADS:
                leaf = jnp.take(leaf, order, axis)
        return leaf

    named = jax.tree.leaves(subject.params, is_leaf=lambda node: isinstance(node, nnx.Variable))
    if not all(param.has_metadata("axes") for param in named):
        raise NotApplicable("some parameter does not name its axes, as `nn.named` does")
    names = jax.tree.leaves(logical_axes(subject.params), is_leaf=lambda node: isinstance(node, tuple))
    leaves, tree = jax.tree.flatten(subject.params)
    other = jax.tree.unflatten(tree, [permuted(*both) for both in zip(names, leaves, strict=True)])
    x, mask = tokens(), subject.order
    return Measured(
        difference(subject.output(other, x, mask), subject.output(subject.params, x, mask)), "in other order"
    )


def transforms(subject: Subject) -> Measured:
    """jit, vmap, remat and scan change neither the output nor its gradient."""
    x, mask = tokens(), subject.order
    weights = normal(x.shape, seed=2)

    def both(x: Array) -> tuple[Array, Array]:
        def loss(x: Array) -> tuple[Array, Array]:
            out = subject.call(subject.params, x, mask)[0]
            return (out * weights).sum(), out

        gradient, out = jax.grad(loss, has_aux=True)(x)
        return out, gradient

    expected = jax.jit(both)(x)
    found = {
        "remat": jax.jit(jax.checkpoint(both))(x),
        "vmap": jax.tree.map(lambda y: y[1], jax.jit(jax.vmap(both))(jnp.stack([x[::-1], x]))),
        "scan": jax.tree.map(lambda y: y[0], jax.jit(partial(jax.lax.map, both))(x[None])),
        "no jit": (subject.call(subject.params, x, mask)[0],),
    }
    return largest(
        Measured(difference(got, want), f"{what} under {name}")
        for name, pair in found.items()
        for what, got, want in zip(("the output", "the gradient"), pair, expected, strict=False)
    )


def bfloat16(subject: Subject) -> Measured:
    """In bfloat16 the output is near that of float64: by root mean squares."""
    x, mask = tokens(), subject.order
    exact = subject.output(subject.params, x, mask)
    layer = subject.layer(dtype=jnp.bfloat16, param_dtype=jnp.float32)
    nnx.update(layer, jax.tree.map(lambda y: y.astype(jnp.float32), subject.params))
    rounded = nnx.jit(lambda layer, x: layer(x, mask=mask).out)(layer, x.astype(jnp.bfloat16))
    if rounded.dtype != jnp.bfloat16:
        return Measured(math.inf, f"the output is {rounded.dtype}")
    error = rounded.astype(jnp.float64) - exact
    return Measured(float(jnp.sqrt((error**2).mean() / (exact**2).mean())), "root mean square")


def cost(subject: Subject) -> Measured:
    """Operations grow with T by no higher a power than promised."""
    if subject.exponent is None:
        raise NotApplicable("short inputs cost what the dense engine takes; `attnjax mask` counts blocks")

    def count(length: int) -> int:
        x = jax.ShapeDtypeStruct((1, length, DIM), jnp.float64)
        found = operations(lambda params, x: subject.call(params, x, subject.order)[0], subject.params, x)
        if found is None:
            raise NotApplicable("a loop in it ends by what it computes, so operations cannot be counted")
        return found

    counts = [count(length) for length in COST_LENGTHS]
    # What grows, without what does not: differences of three lengths that double.
    grown = [later - earlier for earlier, later in pairwise(counts)]
    power = math.log2(grown[1] / grown[0])
    return Measured(power - subject.exponent, f"T^{power:.2f}, promised T^{subject.exponent:g}")


def difference(got: Array, expected: Array) -> float:
    """Returns the largest difference, relative to the largest expected entry; inf where one is not finite."""
    if not bool(jnp.isfinite(got).all() & jnp.isfinite(expected).all()):
        return math.inf
    return float(jnp.abs(got - expected).max() / jnp.maximum(jnp.abs(expected).max(), 1e-30))


def largest(measured: Any) -> Measured:
    """Returns the one with the largest value."""
    return max(measured, key=lambda found: found.value)


@dataclass(frozen=True)
class Check:
    """A check and the largest difference with which a mechanism passes it."""

    measure: Callable[[Subject], Measured]
    bound: float

    @property
    def meaning(self) -> str:
        """The check in one sentence."""
        return (self.measure.__doc__ or "").partition("\n")[0]


CHECKS: Mapping[str, Check] = {
    "future": Check(future, 1e-9),
    "padding": Check(padding, 1e-9),
    "segments": Check(segments, 1e-9),
    "gradient": Check(gradient, 1e-6),
    "decoding": Check(decoding, 1e-8),
    "batch order": Check(batch_order, 1e-9),
    "head order": Check(head_order, 1e-9),
    "transforms": Check(transforms, 1e-9),
    "bfloat16": Check(bfloat16, 0.1),
    "cost": Check(cost, 0.15),
}
"""All checks by name."""
