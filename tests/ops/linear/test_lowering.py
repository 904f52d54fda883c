"""The same program lowers for CPU, TPU and CUDA, forward and backward, without calls of other libraries."""

import jax
import jax.numpy as jnp
import pytest
from jax import export

import attnjax as aj
from tests.daily import daily

pytestmark = pytest.mark.versions


@pytest.mark.usefixtures("as_on_accelerators")
def test_chunks_composed_in_pairs_lower_for_every_platform():
    test_lowers_for_every_platform("chunked", "per token")


@pytest.mark.parametrize(
    ("form", "decay"),
    daily(
        [(form, decay) for form in ("recurrent", "chunked") for decay in ("per token", "per channel")],
        [("recurrent", "per token"), ("chunked", "per channel")],
    ),
)
def test_lowers_for_every_platform(form, decay):
    x = jax.ShapeDtypeStruct((1, 256, 2, 64), jnp.bfloat16)
    log = jax.ShapeDtypeStruct(x.shape if decay == "per channel" else x.shape[:-1], jnp.float32)

    def loss(query, key, value, erase, log):
        out = aj.linear_attention(query, key, value, decay=log, erase=erase, form=form)
        return out.astype(jnp.float32).sum()

    program = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2, 3, 4)))
    module = export.export(program, platforms=["cpu", "tpu", "cuda"])(x, x, x, x, log).mlir_module()
    assert "custom_call" not in module
