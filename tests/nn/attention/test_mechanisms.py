"""The attention layer with each member of the linear family, in float64: formula, cache, two sides."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax import nn
from attnjax.ops import masks
from attnjax.ops.linear.members.performer import orthogonal_features
from tests.daily import covering, daily
from tests.ops.linear.member_cases import MEMBERS, Case, answer

DIM, T = 8, 6
SIZES = {"heads": 4, "kv_heads": 2, "head_dim": 4, "value_dim": 3}
OPTIONS = {"log_linear": {"levels": 4}, "lightning": {"layer": 1, "layers": 3}, "gated_slot": {"slots": 5}}
# What the axes of these layers' parameters may measure.
NAMED = {
    **{"embed": {DIM}, "heads": {4}, "kv_heads": {2}, "head_dim": {3, 4}, "rank": {16, 4}, "width": {4}},
    **{"writes": {2}, "slots": {5}, "levels": {4}},
}

pytestmark = pytest.mark.usefixtures("x64")
# What the layer does for a member, and its cache holds: whatever one of them has, one has every day.
EVERY_DAY = covering(
    {
        name: {
            ("key", row.key),
            ("query", row.unit_query, row.short_convolution),
            ("values", row.many_values),
            ("state", not isinstance(row.state, str)),
            *((gate.range, gate.per_token) for gate in row.gates.values()),
        }
        for name, row in MEMBERS.items()
    }
)
every_member = pytest.mark.parametrize("name", daily(MEMBERS, EVERY_DAY))


class Compiled(NamedTuple):
    """A layer with every parameter off its initial value, and its programs."""

    module: nn.Attention
    params: nnx.State
    slopes: Callable[..., Any]  # of the causal layer
    call: Callable[..., Any]  # with a mask and a cache


@functools.cache
def compiled(name: str) -> Compiled:
    module = nn.Attention(
        DIM, mechanism=name, options=OPTIONS.get(name), param_dtype=jnp.float64, rngs=nnx.Rngs(0), **SIZES
    )
    graphdef, params = nnx.split(module, nnx.Param)  # raises if any other state is left over
    leaves, tree = jax.tree.flatten(params)
    moved = [leaf + 0.3 * normal(*leaf.shape, seed=i) for i, leaf in enumerate(leaves)]
    params = jax.tree.unflatten(tree, moved)
    nnx.update(module, params)

    def call(params: nnx.State, x: jax.Array, mask: Any, cache: Any = None) -> Any:
        return nnx.merge(graphdef, params)(x, mask=mask, cache=cache)[:2]

    def loss(params: nnx.State, x: jax.Array) -> Any:
        out, _ = call(params, x, masks.causal())
        return (out * normal(*out.shape, seed=5)).sum()

    return Compiled(module, params, jax.jit(jax.grad(loss)), jax.jit(call))


def normal(*shape: int, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def tokens() -> jax.Array:
    return normal(2, T, DIM, seed=9)


def whole(name: str, x: jax.Array) -> np.ndarray:
    layer = compiled(name)
    return np.asarray(layer.call(layer.params, x, masks.causal())[0])


def near(got: Any, expected: Any, tolerance: float = 1e-10) -> None:
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


def projected(part: nnx.LinearGeneral, x: np.ndarray) -> np.ndarray:
    return np.tensordot(x, part.kernel[...], 1) + (0 if part.bias is None else np.asarray(part.bias[...]))


def convolved(part: nn.ShortConvolution, x: np.ndarray) -> np.ndarray:
    out = np.zeros_like(x)
    for t in range(T):
        for lag in range(min(t, 3) + 1):
            out[:, t] += part.kernel[...][lag] * x[:, t - lag]
    return out / (1 + np.exp(-out))


def direction(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x * x).sum(-1, keepdims=True) + 1e-6)


def gated(part: nnx.Module, kind: str, x: np.ndarray, key: np.ndarray) -> np.ndarray:
    """A gate as its docstring has it."""
    if hasattr(part, "step"):
        step, rate = gated(part.step, "positive", x, key), gated(part.rate, "rate", x, key)
        return (rate if step.ndim == 3 else rate[:, None]) * step
    if kind == "unit":
        return direction(np.asarray(part.gain.raw[...]) * key)
    if kind == "random":
        return np.asarray(orthogonal_features(jax.random.key(0), 8, 4))
    if hasattr(part, "up"):
        raw = projected(part.up, x if part.down is None else projected(part.down, x))
    else:
        raw = np.asarray(part.raw[...])
    by_kind = {
        "strength": lambda: 1 / (1 + np.exp(-raw)),
        "positive": lambda: np.log1p(np.exp(raw)),
        "rate": lambda: -np.exp(raw),
        "log_decay": lambda: -np.log1p(np.exp(-raw)) / 16,
        "free": lambda: raw,
    }
    return by_kind[kind]()


def by_formula(name: str, x: np.ndarray) -> np.ndarray:
    """The layer in NumPy around the paper's loop."""
    module, member = compiled(name).module, MEMBERS[name]
    given = {part: projected(getattr(module, part), x) for part in ("query", "key", "value")}
    if member.short_convolution:
        given = {part: convolved(module.recurrence.convolutions[part], x) for part, x in given.items()}
    if member.unit_query:
        given["query"] = direction(given["query"])
    if member.key in ("unit", "writes"):
        given["key"] = direction(given["key"])
    if member.key == "log_forget":
        given["key"] = -np.log1p(np.exp(-given["key"]))
    gates = {
        gate: gated(module.recurrence.gates[gate], declared.range, x, given["key"])
        for gate, declared in member.gates.items()
    }
    per_token = {gate: value for gate, value in gates.items() if member.gates[gate].per_token}
    parameters = {gate: value for gate, value in gates.items() if gate not in per_token}
    out, _ = answer(name, Case(given | per_token, parameters, dict(module.recurrence.arguments)))
    out = out / np.sqrt((out**2).mean(-1, keepdims=True) + 1e-6) * np.asarray(module.norm.scale[...])
    return np.einsum("btnv,nvd->btd", out, module.out.kernel[...]) + np.asarray(module.out.bias[...])


@pytest.mark.parametrize("name", MEMBERS)
def test_has_what_the_member_declares_and_names_it(name: str) -> None:
    layer = compiled(name)
    assert set(layer.module.recurrence.gates) == set(MEMBERS[name].gates)
    assert bool(layer.module.recurrence.convolutions) == MEMBERS[name].short_convolution
    names = jax.tree.leaves(nn.logical_axes(layer.params), is_leaf=lambda node: isinstance(node, tuple))
    for axes, leaf in zip(names, jax.tree.leaves(layer.params), strict=True):
        assert all(size in NAMED[axis] for axis, size in zip(axes, leaf.shape, strict=True)), (
            axes,
            leaf.shape,
        )


@every_member
def test_is_its_formula(name: str) -> None:
    x = tokens()
    near(whole(name, x), by_formula(name, np.asarray(x)), 1e-8)


@every_member
def test_sees_no_later_token(name: str) -> None:
    x = tokens()
    out, later = whole(name, x), whole(name, x.at[:, 4].add(1))
    near(later[:, :4], out[:, :4])
    assert (np.abs(later[:, 4:] - out[:, 4:]).max((0, 2)) > 1e-6).all()


@pytest.mark.parametrize("name", daily(MEMBERS, ["delta_product", "mamba2"]))
def test_gradients_reach_every_parameter(name: str) -> None:
    layer = compiled(name)
    gradients = layer.slopes(layer.params, tokens())
    for path, gradient in jax.tree.leaves_with_path(gradients):
        assert np.isfinite(gradient).all(), path
        assert np.abs(gradient).max() > 1e-9, path


@every_member
def test_a_padded_prefill_and_steps_are_one_pass(name: str) -> None:
    """Rows of 4 and 3 tokens in one prefill, then two more tokens for each."""
    layer, x = compiled(name), tokens()
    expected, starts = whole(name, x), np.array([4, 3])
    # A sum of squares near zero that others are divided by.
    tolerance = 1e-8 if name == "rebased" else 1e-10
    empty = layer.module.empty_cache((2,), T, jnp.float64)
    first = x[:, :4].at[1, 3].set(jnp.nan)
    out, cache = layer.call(layer.params, first, masks.causal() & masks.lengths(key=starts), empty)
    near(out[0], expected[0, :4], tolerance)
    near(out[1, :3], expected[1, :3], tolerance)
    rows = np.arange(2)
    for step in range(2):
        mask = masks.causal(cache.length)
        out, cache = layer.call(layer.params, x[rows, starts + step][:, None], mask, cache)
        near(out[:, 0], expected[rows, starts + step], tolerance)
    assert cache.length.tolist() == [6, 5]
    sizes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), (empty, cache))
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize(
    "name",
    daily(
        ["linear", "mamba2", "hgrn2", "delta_product", "log_linear"],
        ["mamba2", "log_linear"],
    ),
)
def test_segments_are_sequences_of_their_own(name: str) -> None:
    layer, x = compiled(name), tokens()
    ids = jnp.array([[0, 0, 1, 1, 1, 1], [5, 5, 5, 5, 2, 2]])
    out, _ = layer.call(layer.params, x, masks.segments(ids) & masks.causal())
    for row, border in ((0, 2), (1, 4)):
        alone = whole(name, jnp.roll(x, -border, axis=1))
        near(out[row, border:], alone[row, : T - border])
        near(out[row, :border], whole(name, x)[row, :border])


@pytest.mark.parametrize(
    "name",
    daily(
        ["retention", "mamba2", "hgrn2", "rwkv7", "delta_product", "performer"],
        ["mamba2", "performer"],
    ),
)
def test_two_sides_are_the_same_from_either_end(name: str) -> None:
    """Up to each row's length; with short convolutions that pass on the token itself, as they look back."""
    layer, x = compiled(name), tokens()
    params = jax.tree.map_with_path(
        lambda path, leaf: leaf.at[1:].set(0) if "convolutions" in str(path) else leaf, layer.params
    )
    mask = masks.lengths(key=jnp.array([6, 4]))
    out, cache = layer.call(params, x.at[1, 4:].set(jnp.nan), mask)
    assert cache is None
    order = np.array([[5, 4, 3, 2, 1, 0], [3, 2, 1, 0, 4, 5]])
    turned, _ = layer.call(params, jnp.take_along_axis(x, order[..., None], 1), mask)
    near(np.take_along_axis(np.asarray(turned), order[..., None], 1)[1, :4], out[1, :4])
    near(turned[0, ::-1], out[0])
    later, _ = layer.call(params, x.at[:, 3].add(1), mask)
    assert np.abs(later[:, 0] - out[:, 0]).max() > 1e-6
