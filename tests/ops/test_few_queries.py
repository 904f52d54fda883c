"""Few queries over many keys, as in decoding: done quickly where all is finite, and right where it is not."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnjax import attention
from attnjax.ops import masks

B, T, S, N, K, H = 2, 2, 17, 4, 2, 8
DRAW = np.random.default_rng(0)
QUERY, KEY, VALUE = (
    DRAW.normal(size=shape).astype(np.float32) for shape in ((B, T, N, H), (B, S, K, H), (B, S, K, H))
)
LENGTHS = np.array([5, 17])


@jax.jit
def attended(query: Any, key: Any, value: Any) -> Any:
    return attention(
        query, key, value, mask=masks.lengths(key=jnp.asarray(LENGTHS)), implementation="reference"
    )


def literal(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """The formula over the keys of each row alone."""
    out = np.empty((B, T, N, H))
    for b, n in np.ndindex(B, N):
        own, read = (x[b, : LENGTHS[b], n // (N // K)].astype(np.float64) for x in (key, value))
        scores = query[b, :, n] @ own.T / np.sqrt(H)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        out[b, :, n] = weights / weights.sum(-1, keepdims=True) @ read
    return out


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", ["key", "value"])
def test_what_is_masked_may_be_anything_and_what_is_seen_shows(which: str, bad: float) -> None:
    """Forward, backward and under vmap, which takes both ways for all of its calls."""
    expected = literal(QUERY, KEY, VALUE)
    np.testing.assert_allclose(attended(QUERY, KEY, VALUE), expected, rtol=1e-5, atol=1e-5)
    given = {"key": KEY.copy(), "value": VALUE.copy()}
    given[which][0, 9, 0, 3] = bad
    np.testing.assert_allclose(attended(QUERY, **given), expected, rtol=1e-5, atol=1e-5)
    both = jax.vmap(lambda key, value: attended(QUERY, key, value))(
        *(jnp.stack([plain, given[name]]) for name, plain in (("key", KEY), ("value", VALUE)))
    )
    np.testing.assert_allclose(both, [expected, expected], rtol=1e-5, atol=1e-5)
    gradients = jax.jit(jax.grad(lambda *x: (attended(*x) ** 2).sum(), (0, 1, 2)))
    for found, plain in zip(gradients(QUERY, *given.values()), gradients(QUERY, KEY, VALUE), strict=True):
        np.testing.assert_allclose(found, plain, rtol=1e-4, atol=1e-5)
    given[which][0, 2, 0, 3] = bad
    found = np.asarray(attended(QUERY, **given))
    assert np.isnan(found[0, :, :2]).all()
    np.testing.assert_allclose(found[0, :, 2:], expected[0, :, 2:], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("queries", "quick"), [(T, True), (3, False)])
def test_a_cpu_program_cares_for_what_is_not_finite_in_a_branch(queries: int, quick: bool) -> None:
    query = jax.ShapeDtypeStruct((B, queries, N, H), jnp.float32)
    assert ("conditional(" in attended.lower(query, KEY, VALUE).compile().as_text()) == quick


@pytest.mark.parametrize("queries", [1, 2])
@pytest.mark.parametrize("implementation", ["reference", "blockwise"])
def test_values_of_no_width_give_the_sums_alone(implementation: Any, queries: int) -> None:
    def sums(value: Any) -> Any:
        mask = masks.lengths(key=jnp.asarray(LENGTHS))
        given = QUERY[:, :queries], KEY, value
        return attention(*given, mask=mask, return_lse=True, implementation=implementation)

    out, found = jax.jit(sums)(VALUE[..., :0])
    assert out.shape == (B, queries, N, 0)
    np.testing.assert_allclose(found, jax.jit(sums)(VALUE)[1], rtol=1e-6)
