"""The chunked form on a GPU, against the loop over tokens in float64: `pytest -m gpu` where there is one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from tests.ops.linear.test_stability import inputs

pytestmark = [pytest.mark.gpu, pytest.mark.optimised]
# Products of float32 have the 10 bits of TF32 there, unless jax_default_matmul_precision says otherwise.
ERRORS = {
    "bfloat16": (jnp.bfloat16, None, 2e-2),
    "float32": (jnp.float32, None, 5e-3),
    "float32, highest": (jnp.float32, "highest", 2e-5),
}


def value_and_gradients(args, **options):
    def loss(args):
        out = aj.linear_attention(**args, **options)
        return (out.astype(jnp.result_type(out, jnp.float32)) ** 2).sum(), out

    (_, out), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(args)
    return {**gradients, "out": out}


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("precision", ERRORS)
def test_values_and_gradients(precision, per_channel):
    dtype, products, most = ERRORS[precision]
    args = inputs(2000, dtype, 1.0, per_channel, size=64)
    with jax.default_matmul_precision(products or "default"):
        got = value_and_gradients(args)
    with jax.enable_x64(True):
        wide = {name: jnp.asarray(np.float64(x)) for name, x in args.items()}
        expected = value_and_gradients(wide, form="recurrent")
    errors = {
        name: float(np.linalg.norm(np.float64(got[name]) - x) / np.linalg.norm(x))
        for name, x in expected.items()
    }
    assert max(errors.values()) < most, errors
