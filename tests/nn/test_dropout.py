"""Dropout as a value."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.nn import Dropout


def test_keeps_the_mean_and_the_asked_share() -> None:
    out = np.asarray(Dropout(0.3, jax.random.key(1))(jnp.ones(200_000)))
    assert abs((out == 0).mean() - 0.3) < 0.005
    assert abs(out.mean() - 1) < 0.01
    np.testing.assert_allclose(out[out != 0], 1 / 0.7, rtol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_rate_zero_is_the_identity(dtype: jnp.dtype) -> None:
    x = jax.random.normal(jax.random.key(0), (1 << 20,), dtype)  # Enough to meet every level of the bits.
    out = Dropout(0.0, jax.random.key(1))(x)
    assert out.dtype == dtype
    np.testing.assert_array_equal(np.asarray(out), np.asarray(x))


def test_rate_may_be_traced_without_a_recompile() -> None:
    compiled = []

    @jax.jit
    def drop(dropout: Dropout, x: jax.Array) -> jax.Array:
        compiled.append(1)
        return dropout(x)

    x = jnp.ones(1000)
    for rate in (0.0, 0.1, 0.5):
        dropout = Dropout(jnp.float32(rate), jax.random.key(0))
        np.testing.assert_array_equal(np.asarray(drop(dropout, x)), np.asarray(dropout(x)))
    assert len(compiled) == 1


def test_branches_are_independent_and_repeatable() -> None:
    dropout, x = Dropout(0.5, jax.random.key(0)), jnp.ones(4096)
    masks = [np.asarray(dropout.fold(branch)(x)) > 0 for branch in (0, 1, "weights", "outputs")]
    for i, one in enumerate(masks):
        for other in masks[i + 1 :]:
            assert 0.4 < (one == other).mean() < 0.6
    np.testing.assert_array_equal(np.asarray(dropout.fold("weights")(x)) > 0, masks[2])


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, np.float32(1.5), jnp.float32(-1), np.nan])
def test_a_rate_outside_the_unit_interval_is_an_error(rate: float) -> None:
    with pytest.raises(ValueError, match=rf"dropout rate {rate}: expected a number in \[0, 1\)"):
        Dropout(rate, jax.random.key(0))


def test_a_rate_next_to_1_has_finite_values_and_gradients() -> None:
    dropout, x = Dropout(1 - 2**-20, jax.random.key(0)), jnp.ones(1000)
    value, gradient = jax.value_and_grad(lambda x: dropout(x).sum())(x)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_a_traced_rate_of_0_draws_no_bits_on_cpu() -> None:
    """As a fifth of a language model's step without dropout was."""

    def dropped(rate, key, x):
        return Dropout(rate, key)(x)

    key = jax.random.key(0)
    args = jnp.float32(0.25), key, jnp.ones((8, 16))
    bits = jax.random.bits(key, (8, 16), jnp.uint16)
    np.testing.assert_array_equal(jax.jit(dropped)(*args), np.where(bits >= 1 << 14, np.float32(4 / 3), 0))

    def branches(platform: str) -> int:
        return jax.export.export(jax.jit(dropped), platforms=[platform])(*args).mlir_module().count(".case")

    # Each has those that choose the platform's body.
    assert branches("cpu") == branches("cuda") + 1 == branches("tpu") + 1
