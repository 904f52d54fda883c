"""The highest values are those of `jax.lax.top_k`, in its order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.ops.core.largest import GROUP, MANY, largest

pytestmark = pytest.mark.versions


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("count", [1, 3, 10])
@pytest.mark.parametrize("highest", [2, 40, 10_000])
def test_it_is_top_k(count: int, highest: int, dtype: str) -> None:
    """Equals in most rows, -inf among the values, and sizes that groups do and do not divide."""
    random = np.random.default_rng(0)
    for size in (count, MANY * count * GROUP, MANY * count * GROUP + 17):
        rows = random.integers(0, highest, (2, 9, size)).astype(float)
        rows[0, :4, : size - 2] = -np.inf
        rows[1, 1] = -np.inf
        x = jnp.asarray(rows).astype(dtype)
        for own, expected in zip(largest(x, count), jax.lax.top_k(x, count), strict=True):
            assert own.dtype == expected.dtype
            np.testing.assert_array_equal(np.asarray(own, float), np.asarray(expected, float))
