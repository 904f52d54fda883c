"""The kernels of other libraries equal the reference, interpreted on the CPU.

cuDNN has neither an interpreter nor a lowering without cuDNN: JAX's own computation stands in for it.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from attnjax.ops.engines import choose, cudnn
from tests.daily import daily

INTERPRETED = ("splash", "pallas_gpu")


def interpreted(kernel):
    """The kernel, run by Pallas' interpreter on the CPU; in float32 too, so that errors are small."""
    attend = functools.partial(kernel.attend, interpret=True)
    return dataclasses.replace(kernel, platforms=("cpu",), attend=attend, dtypes=("float32", "bfloat16"))


@pytest.fixture
def on_cpu(monkeypatch):
    kernels = {n: interpreted(k) if n in INTERPRETED else k for n, k in choose.KERNELS.items()}
    monkeypatch.setattr(choose, "KERNELS", kernels)


def inputs(t, s=None, heads=2, groups=2, size=16, width=None, batch=(2,), dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0), 3)
    s, width = s or t, width or size
    shapes = ((t, heads, size), (s, groups, size), (s, groups, width))
    return tuple(2 * jax.random.normal(k, (*batch, *x), dtype) for k, x in zip(keys, shapes, strict=True))


def values_and_gradients(args, implementation, **options):
    def loss(*args):
        out = aj.attention(*args, implementation=implementation, **options)
        return jnp.sum(jnp.sin(out.astype(jnp.float32))), out

    (_, out), gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))(*args)
    return out, *gradients


def close(actual, expected, tolerance=5e-5):
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def agrees(name, args, tolerance=5e-5, **options):
    got, expected = (values_and_gradients(args, n, **options) for n in (name, "reference"))
    jax.tree.map(lambda a, b: close(a, b, tolerance), got, expected)
    return got


MASKS = {
    "none": (None, 130, 140),
    "causal, offset": (aj.causal(10), 130, 140),
    "window that the padding could see": (aj.sliding_window(3, 9), 130, 130),
    "rows without keys": (aj.causal(-3) & aj.sliding_window(40, 0), 130, 130),
    "by head, of four terms": (
        aj.predicate(lambda b, h, i, j: (i + j + h) % 3 != 0) & ~aj.dilated(7) | aj.prefix(1),
        130,
        140,
    ),
    "a length for all": (aj.lengths(query=120, key=77), 130, 140),
}


@pytest.mark.parametrize(
    "name",
    daily(MASKS, ["rows without keys", "by head, of four terms"]),
)
def test_splash_equals_the_reference(name, on_cpu):
    mask, t, s = MASKS[name]
    batch = (1,) if "by head" in name else (2,)  # A predicate may ask which batch element it is.
    agrees("splash", inputs(t, s, heads=4, groups=2, width=8, batch=batch), mask=mask, scale=0.3)


@pytest.mark.parametrize(
    ("length", "causal"), daily([(130, False), (130, True), (256, True)], [(130, False), (130, True)])
)
def test_the_gpu_kernel_equals_the_reference(length, causal, on_cpu):
    mask = aj.causal() if causal else None
    agrees("pallas_gpu", inputs(length, heads=4, groups=2), mask=mask, scale=0.3)


@pytest.mark.parametrize(
    "mask", [None, pytest.param(aj.causal(), marks=pytest.mark.slow), aj.causal() & aj.sliding_window(5, 3)]
)
def test_what_cudnn_is_asked_for_is_the_same_attention(mask, monkeypatch):
    """By JAX's own computation of the same arguments, in place of cuDNN's."""
    attend = functools.partial(cudnn.attend, implementation="xla")
    dtypes = ("float32",)
    here = dataclasses.replace(
        cudnn.KERNEL, platforms=("cpu",), attend=attend, dtypes=dtypes, further=lambda *_: None
    )
    monkeypatch.setattr(choose, "KERNELS", {"cudnn": here})
    agrees("cudnn", inputs(20, heads=4, groups=2), mask=mask, scale=0.3)


@pytest.mark.parametrize("name", INTERPRETED)
def test_sixteen_bits_are_close_and_keep_their_dtype(name, on_cpu):
    args = inputs(130, size=64, dtype=jnp.bfloat16)
    got = values_and_gradients(args, name, mask=aj.causal())
    expected = values_and_gradients([x.astype(jnp.float32) for x in args], "reference", mask=aj.causal())
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == jnp.bfloat16
        assert np.max(np.abs(a.astype(jnp.float32) - b)) < 2**-6 * np.max(np.abs(b))


@pytest.mark.parametrize(("name", "nonfinite"), [("splash", np.nan), ("pallas_gpu", np.inf)])
def test_masked_nan_reaches_no_row_that_does_not_attend_it(name, nonfinite, on_cpu):
    args = inputs(130)

    def early(*args):
        out = aj.attention(*args, mask=aj.causal(), implementation=name)
        return jnp.sum(jnp.sin(out[:, :50])), out

    run = jax.jit(jax.grad(early, argnums=(0, 1, 2), has_aux=True))
    gradients, clean = run(*args)
    for which in (1, 2):
        dirty = tuple(x.at[0, 60].set(nonfinite) if i == which else x for i, x in enumerate(args))
        got, out = run(*dirty)
        assert np.isnan(out[0, 60:]).all()
        np.testing.assert_array_equal(out[:, :60], clean[:, :60])
        assert np.isfinite(out[1]).all()
        jax.tree.map(np.testing.assert_array_equal, got, gradients)


@pytest.mark.parametrize("name", INTERPRETED)
def test_nan_in_a_key_reaches_the_query_heads_that_share_it_alone(name, on_cpu):
    query, key, value = inputs(130, heads=4)
    attend = jax.jit(functools.partial(aj.attention, mask=aj.causal(), implementation=name))
    out = attend(query, key.at[0, 60, -1].set(np.nan), value)
    assert np.isnan(out[0, 60:, 2:]).all()
    assert np.isfinite(out[0, :, :2]).all()


WAYS = ("forward", "reverse twice", "vmap")


@pytest.mark.parametrize(
    ("name", "way"),
    daily([(name, way) for name in INTERPRETED for way in WAYS], [("splash", "forward"), ("splash", "vmap")]),
)
def test_forward_mode_second_order_and_vmap_work_although_the_kernel_has_none(name, way, on_cpu):
    args = inputs(8, heads=1, groups=1, batch=())
    direction = tuple(jnp.cos(x) for x in args)

    def loss(name, *args):
        return jnp.sum(jnp.sin(aj.attention(*args, mask=aj.causal(), implementation=name)))

    ours, reference = (functools.partial(loss, n) for n in (name, "reference"))

    def derivatives(f):
        gradient = jax.grad(f, argnums=(0, 1, 2))
        if way == "vmap":
            return jax.jit(jax.vmap(gradient))(*inputs(8, heads=1, groups=1, batch=(3,)))
        if way == "forward":  # Of the value, and of the gradient.
            both = jax.value_and_grad(f, argnums=(0, 1, 2))
            return jax.jit(lambda a, d: jax.jvp(both, a, d))(args, direction)
        along = lambda *a: sum(jnp.vdot(x, d) for x, d in zip(gradient(*a), direction, strict=True))  # noqa: E731
        return jax.jit(jax.grad(along))(*args)

    jax.tree.map(close, derivatives(ours), derivatives(reference))


@pytest.mark.parametrize("name", INTERPRETED)
def test_rows_far_from_zero_have_the_right_output_and_gradients_with_fewer_digits(name, on_cpu):
    query, key, value = (jnp.round(2 * x) / 4 for x in inputs(128, batch=()))
    key = key.at[..., 0].set(1)
    for constant, digits in ((1e4, 1e-3), (1e6, 1e-1)):  # All products of a row hold it, and are exact.
        args = query.at[..., 0].set(constant), key, value
        (out, *got), (expected, *right) = (
            values_and_gradients(args, n, scale=1.0) for n in (name, "reference")
        )
        np.testing.assert_allclose(out, expected, atol=5e-6)
        for a, b in zip(
            (got[0][..., 1:], got[1][..., 1:], got[2]),
            (right[0][..., 1:], right[1][..., 1:], right[2]),
            strict=True,
        ):
            np.testing.assert_allclose(a, b, atol=digits * np.abs(b).max())


@pytest.mark.parametrize("name", INTERPRETED)
def test_a_traced_scale_gets_its_gradient(name, on_cpu):
    args = inputs(130)

    def loss(scale, name):
        return jnp.sum(jnp.sin(aj.attention(*args, scale=scale, implementation=name)))

    gradient = jax.jit(jax.grad(loss), static_argnums=1)
    close(gradient(0.2, name), gradient(0.2, "reference"), 1e-3)
