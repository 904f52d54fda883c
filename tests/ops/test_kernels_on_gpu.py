"""The kernels for CUDA on a GPU, against the plain formula: `pytest -m gpu` where there is one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from attnjax.ops.engines import choose

pytestmark = [pytest.mark.gpu, pytest.mark.optimised]

MASKS = {"causal": aj.causal(), "window": aj.causal() & aj.sliding_window(100, 0), "full": None}
CUDA = [name for name, kernel in choose.KERNELS.items() if "cuda" in kernel.platforms]


def draw(heads, length=384, dtype=jnp.bfloat16):
    keys = jax.random.split(jax.random.key(0), 4)
    counts = (8, heads, heads, 8)
    return [jax.random.normal(k, (2, length, n, 64), dtype) for k, n in zip(keys, counts, strict=True)]


def loss(*args, weights, **options):
    out = aj.attention(*args, **options)
    return (out.astype(jnp.float32) * weights).sum(), out


@pytest.mark.parametrize("heads", [8, 2])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("engine", [*CUDA, "blockwise"])
def test_values_and_gradients_in_bfloat16(engine, mask, heads):
    if engine == "pallas_gpu" and mask == "window":
        with pytest.raises(ValueError, match="can't do this"):
            aj.attention(*draw(heads)[:3], mask=MASKS[mask], implementation=engine)
        return
    *args, weights = draw(heads)
    options = {"mask": MASKS[mask], "weights": weights.astype(jnp.float32)}
    run = functools.partial(jax.value_and_grad, argnums=(0, 1, 2), has_aux=True)
    with jax.default_matmul_precision("highest"):
        wide = [x.astype(jnp.float32) for x in args]
        (_, out), grads = jax.jit(run(functools.partial(loss, implementation="reference", **options)))(*wide)
    (_, got), got_grads = jax.jit(run(functools.partial(loss, implementation=engine, **options)))(*args)
    for ours, plain in zip((got, *got_grads), (out, *grads), strict=True):
        error = np.linalg.norm(np.float32(ours) - plain) / np.linalg.norm(plain)
        assert error < 1e-2, error


def test_large_calls_take_a_kernel_that_nobody_asked_for():
    plan = aj.plan_attention(*draw(8, length=2048)[:3], mask=aj.causal())
    assert plan.platforms["cuda"][0] in CUDA
