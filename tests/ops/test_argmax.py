"""The first highest of a row is what NumPy says, with equals and NaN."""

import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.ops.core.argmax import argmax

pytestmark = pytest.mark.versions

NAN, INF = np.nan, np.inf
ROWS = [[1, 3, 3, 0], [NAN, 5, NAN, 0], [5, NAN, 9, NAN], [-INF] * 4, [INF, 0, INF, 1], [-INF, -INF, -9, -9]]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32"])
def test_it_is_the_argmax(dtype: str) -> None:
    random = np.random.default_rng(0)
    rows = random.integers(-3, 4, (2, 50, 17))  # Equals in most of them.
    x = jnp.asarray(rows).astype(dtype)
    np.testing.assert_array_equal(argmax(x), np.asarray(x.astype(jnp.float32)).argmax(-1))
    assert argmax(x).dtype == jnp.int32


def test_infinities_and_nan() -> None:
    np.testing.assert_array_equal(argmax(jnp.asarray(ROWS, jnp.float32)), np.asarray(ROWS).argmax(-1))
