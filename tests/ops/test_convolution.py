"""Convolutions: lax's values and derivatives, in the form of gradient that XLA's CPU has kernels for."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax
from attnjax.ops.convolution import convolution

pytestmark = pytest.mark.versions

LAYOUT = {2: ("NHWC", "HWIO", "NHWC"), 1: ("NWC", "WIO", "NWC")}
KNOWN_TO_CPU = {"b01f_01io->b01f", "b0f_0io->b0f"}

CASES = {
    "same": ((3, 6, 5, 4), (3, 3, 4, 7), (1, 1), "SAME"),
    "same, strides": ((3, 6, 5, 4), (3, 2, 4, 7), (2, 3), "SAME"),
    "valid, even kernel": ((2, 9, 8, 3), (4, 2, 3, 5), (2, 1), "VALID"),
    "zeros of one side": ((2, 5, 6, 3), (3, 3, 3, 2), (2, 2), ((2, 0), (0, 1))),
    "cut off": ((2, 7, 7, 3), (3, 3, 3, 2), (1, 2), ((-1, 0), (1, -2))),
    "more zeros than taps": ((2, 4, 4, 3), (2, 2, 3, 2), (1, 1), ((3, 3), (4, 0))),
    "strides that leave places over": ((2, 8, 8, 3), (1, 1, 3, 2), (3, 2), "VALID"),
    "one axis": ((3, 9, 4), (3, 4, 5), (2,), ((1, 1),)),
}


@pytest.fixture
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def _drawn(*shapes: tuple[int, ...], dtype: Any = np.float32) -> list[jax.Array]:
    random = np.random.default_rng(0)
    return [jnp.asarray(random.normal(size=shape), dtype) for shape in shapes]


def _lax(images: jax.Array, kernel: jax.Array, *args: Any) -> jax.Array:
    return jax.lax.conv_general_dilated(images, kernel, *args, dimension_numbers=LAYOUT[images.ndim - 2])


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("case", CASES)
def test_values_and_derivatives_are_those_of_lax(case: str) -> None:
    images, kernel, *how = CASES[case]
    args = _drawn(images, kernel, dtype=np.float64)
    directions = _drawn(kernel, images, dtype=np.float64)[::-1]

    def derivatives(fn: Any) -> Any:
        def loss(*xs: jax.Array) -> jax.Array:
            return jnp.sum(jnp.tanh(fn(*xs, *how)))

        gradient = jax.grad(loss, (0, 1))
        return {
            "value": fn(*args, *how),
            "gradient": gradient(*args),
            "forward": jax.jvp(lambda *xs: fn(*xs, *how), args, directions),
            "forward over reverse": jax.jvp(gradient, args, directions)[1],
            "reverse over reverse": jax.grad(lambda *xs: sum(jnp.sum(g**2) for g in gradient(*xs)), (0, 1))(
                *args
            ),
            "mapped": jax.vmap(gradient, (0, None))(jnp.stack([args[0], 2 * args[0]]), args[1]),
            "both mapped": jax.vmap(gradient)(*(jnp.stack([x, 2 * x]) for x in args)),
        }

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10),
        derivatives(convolution),
        derivatives(_lax),
    )


# Of a window wider than its input XLA exchanges the two.
@pytest.mark.parametrize("case", [name for name in CASES if name not in ("cut off", "more zeros than taps")])
def test_a_loop_on_cpu_holds_only_forms_that_have_a_kernel(case: str) -> None:
    images, kernel, *how = CASES[case]
    x, k = _drawn(images, kernel)

    def looped(fn: Any) -> set[str]:
        def step(kept: Any, _: None) -> Any:
            gradient = jax.grad(lambda x, k: jnp.sum(jnp.tanh(fn(x, k, *how))), (0, 1))(*kept)
            return jax.tree.map(jnp.subtract, kept, gradient), None

        program = jax.jit(lambda x, k: jax.lax.scan(step, (x, k), length=3)[0]).lower(x, k).compile()
        return set(re.findall(r"dim_labels=(\S+?),", program.as_text()))

    assert looped(convolution) <= KNOWN_TO_CPU
    if case == "same":
        assert not looped(_lax) <= KNOWN_TO_CPU, "XLA brings them into this form itself: ours can go"


def test_lanes_of_a_pack_are_no_groups_on_cpu() -> None:
    images, kernel, *how = CASES["same, strides"]
    lanes = [jnp.stack([x, 2 * x]) for x in _drawn(images, kernel)]

    def program(fn: Any) -> str:
        gradient = jax.grad(lambda x, k: jnp.sum(jnp.tanh(fn(x, k, *how))), (0, 1))
        return jax.jit(jax.vmap(gradient)).lower(*lanes).compile().as_text()

    assert "feature_group_count" in program(_lax)
    assert "feature_group_count" not in program(convolution)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_other_platforms_get_the_gradients_of_lax(platform: str) -> None:
    images, kernel, *how = CASES["same, strides"]

    def lowered(fn: Any) -> list[str]:
        gradient = jax.jit(jax.grad(lambda x, k: jnp.sum(jnp.tanh(fn(x, k, *how))), (0, 1)))
        program = jax.export.export(gradient, platforms=[platform])(*_drawn(images, kernel)).mlir_module()
        return sorted(re.findall(r"dim_numbers = (\S+)", program))

    assert lowered(convolution) == lowered(_lax)


def test_sizes_may_be_symbolic() -> None:
    """Of strides lax has the values alone, and no gradients."""
    (x, kernel) = _drawn((2, 9, 7, 3), (3, 3, 3, 2))
    shape = jax.ShapeDtypeStruct(jax.export.symbolic_shape("b,h,w,3"), jnp.float32)
    strided = jax.jit(lambda x: convolution(x, kernel, (2, 2), "SAME"))
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(convolution(x, kernel, (1, 1), "SAME")))))
    for fn in (strided, gradient):
        np.testing.assert_allclose(jax.export.export(fn)(shape).call(x), fn(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"feature_group_count": 2},
        {"rhs_dilation": (2, 2)},
        {"lhs_dilation": (2, 1)},
        {"batch_group_count": 3},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_changes_the_result_is_left_to_lax(options: dict[str, Any]) -> None:
    x, k = _drawn((3, 6, 5, 4), (3, 3, 2 if "feature_group_count" in options else 4, 6))
    how = (1, 1), ((1, 1), (1, 1))
    given = convolution(x, k, *how, **options)
    expected = jax.lax.conv_general_dilated(x, k, *how, dimension_numbers=LAYOUT[2], **options)
    np.testing.assert_array_equal(given, expected)


def test_every_layer_of_flax_has_it() -> None:
    bare = []
    for file in sorted(Path(attnjax.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "nnx.Conv":
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                if given.get("conv_general_dilated") != "convolution":
                    bare.append(f"{file.name}:{node.lineno}")
    assert not bare
