"""Tests compute outside of jit as jax does, bit for bit."""

import inspect
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import eager
from tests.daily import daily
from tests.eager import by_numpy
from tests.random_numbers import DRAWS, drawn_in_few_sizes

pytestmark = pytest.mark.skipif(
    not version("jaxlib").startswith("0.10."), reason="with other versions jax computes everything"
)

X = np.array([[0.1, -2.5, np.inf, 3e38], [np.nan, -0.0, -np.inf, 7.0], [2e-38, 1.0, 0.3, -8.1]], np.float32)
Y = X[::-1].copy()
WHOLE = np.array([[3, -7, 2**31 - 1, 0], [1, 2, -(2**31), 5], [9, 9, 9, -1]], np.int32)
OPERATIONS: list[Callable[[Any, Any, Any], Any]] = [
    lambda x, y, i: (x + y, x - y, x * y, x / y, -x, abs(x), jnp.sqrt(x), i + i, i * i, -i, 2 * x, x + 1),
    lambda x, y, i: (jnp.maximum(x, y), jnp.minimum(x, y), x < y, x <= y, x > y, x >= y, x == y, x != y),
    lambda x, y, i: (~i, i & 3, i | 5, ~(x < y), jnp.where(x < y, x, y), jnp.where(x < y, x, 0.0)),
    lambda x, y, i: (x[0], x[-1], x[1:, ::2], x[:, None], x[::-1], x.T, x.reshape(2, 6), x.ravel()),
    lambda x, y, i: (
        jnp.stack([x, y]),
        jnp.concatenate([x, y], 1),
        jnp.roll(x, 1, 0),
        jnp.squeeze(x[:, :1], 1),
    ),
    lambda x, y, i: (
        x.astype(jnp.bfloat16),
        x.astype(jnp.float16),
        x > 0,
        i.astype(jnp.float32),
        i.astype(bool),
    ),
    lambda x, y, i: (
        jnp.broadcast_to(x[0], (5, 4)),
        jnp.arange(7),
        jnp.ones((2, 3)),
        jnp.zeros(3, jnp.int32),
    ),
    lambda x, y, i: (
        jnp.full((2, 2), 0.1),
        x.astype(jnp.bfloat16) * y.astype(jnp.bfloat16),
        0.3 * x,
        1e-38 * x,
        1e-38 * x > 0,
    ),
    lambda x, y, i: (
        jax.lax.dynamic_slice(x, (2, -1), (2, 3)),
        *x,
        *x.T,
        i.astype(jnp.int8),
        x.astype(jnp.int32),
    ),
    lambda x, y, i: (jnp.isfinite(x), x.max(), x[2].min(0), jnp.all(i > 0, 1), jnp.any(x > 1), i.max(1)),
    lambda x, y, i: (
        x[:0],
        jnp.ones((0, 3)),
        jnp.zeros(0) + 1,
        jnp.concatenate([x, x[:0]]),
        (x > 0)[:0].all(),
    ),
]


def assert_same_bits(operation: Callable[[Any, Any, Any], Any], double: bool) -> None:
    """Whether NumPy or programs compute."""

    def found(whether: bool) -> Any:
        with jax.enable_x64(double), by_numpy(lambda: whether):
            jax.clear_caches()
            return operation(jnp.asarray(X), jnp.asarray(Y), jnp.asarray(WHOLE))

    for got, expected in zip(found(True), found(False), strict=True):
        assert (got.dtype, got.shape, got.weak_type) == (expected.dtype, expected.shape, expected.weak_type)
        assert np.asarray(got).tobytes() == np.asarray(expected).tobytes(), (got, expected)


@pytest.mark.parametrize(
    ("number", "double"),
    daily(
        [(number, double) for double in (False, True) for number in range(len(OPERATIONS))],
        [*((number, False) for number in range(len(OPERATIONS))), (0, True), (7, True)],
    ),
)
def test_operations_outside_of_jit_have_the_bits_of_programs(number: int, double: bool) -> None:
    assert_same_bits(OPERATIONS[number], double)


@pytest.mark.parametrize(("number", "home", "name"), [(0, eager.ROUNDS, "add"), (3, eager.MOVES, "slice")])
def test_a_planted_bug_is_found(
    number: int, home: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = home[name]
    monkeypatch.setitem(home, name, lambda *args, **options: -right(*args, **options))
    with pytest.raises(AssertionError):
        assert_same_bits(OPERATIONS[number], False)


@pytest.mark.parametrize("name", DRAWS)
def test_random_numbers_are_those_of_jax(name: str) -> None:
    given = {"truncated_normal": (-2.0, 2.0), "bernoulli": (0.3,)}.get(name, ())
    options = {"minval": 0, "maxval": 7} if name == "randint" else {}

    draws = getattr(jax.random, name)
    for shape in ((), (3,), (5, 7, 3)):
        with drawn_in_few_sizes():
            got = getattr(jax.random, name)(jax.random.key(3), *given, shape=shape, **options)
        expected = inspect.unwrap(draws)(jax.random.key(3), *given, shape=shape, **options)
        np.testing.assert_array_equal(got, expected, strict=True)
