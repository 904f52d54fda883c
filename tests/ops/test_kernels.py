"""The kernels of other libraries: interpreted they equal the reference, and they lower for their platforms.

This machine has none of the platforms. cuDNN has neither an interpreter nor a lowering without cuDNN, so of
it only what it refuses is tested here.
"""

import contextlib
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import attnjax as aj
from attnjax.ops.arguments import make_problem
from attnjax.ops.engines import choose, cudnn
from attnjax.ops.engines.support import Band, pattern_of, refusal

INTERPRETED = ("splash", "pallas_gpu")
GPU_CALL = export.DisabledSafetyCheck.custom_call("__gpu$xla.gpu.triton")


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
    "causal": (aj.causal(), 130, 130),
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


@pytest.mark.parametrize("name", MASKS)
def test_splash_equals_the_reference(name, on_cpu):
    mask, t, s = MASKS[name]
    batch = (1,) if "by head" in name else (2,)  # A predicate may ask which batch element it is.
    agrees("splash", inputs(t, s, heads=4, groups=2, width=8, batch=batch), mask=mask, scale=0.3)


@pytest.mark.parametrize("mask", [None, aj.causal()])
@pytest.mark.parametrize("length", [130, 256])
def test_the_gpu_kernel_equals_the_reference(length, mask, on_cpu):
    agrees("pallas_gpu", inputs(length, heads=4, groups=2), mask=mask, scale=0.3)


@pytest.mark.parametrize("mask", [None, aj.causal(), aj.causal() & aj.sliding_window(5, 3)])
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


@pytest.mark.parametrize("name", INTERPRETED)
@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_masked_nan_reaches_no_row_that_does_not_attend_it(name, poison, on_cpu):
    args = inputs(130)

    def early(*args):
        return jnp.sum(jnp.sin(aj.attention(*args, mask=aj.causal(), implementation=name)[:, :50]))

    for which in (1, 2):
        dirty = tuple(x.at[0, 60].set(poison) if i == which else x for i, x in enumerate(args))
        out = aj.attention(*dirty, mask=aj.causal(), implementation=name)
        assert np.isnan(out[0, 60:]).all()
        np.testing.assert_array_equal(
            out[:, :60], aj.attention(*args, mask=aj.causal(), implementation=name)[:, :60]
        )
        assert np.isfinite(out[1]).all()
        for got, expected in zip(
            jax.grad(early, argnums=(0, 1, 2))(*dirty), jax.grad(early, argnums=(0, 1, 2))(*args), strict=True
        ):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", INTERPRETED)
def test_forward_mode_second_order_and_vmap_work_although_the_kernel_has_none(name, on_cpu):
    args = inputs(8, heads=1, groups=1, batch=())
    direction = tuple(jnp.cos(x) for x in args)

    def loss(name, *args):
        return jnp.sum(jnp.sin(aj.attention(*args, mask=aj.causal(), implementation=name)))

    ours, reference = (functools.partial(loss, n) for n in (name, "reference"))

    def twice(f):
        return jax.jit(lambda a, d: jax.jvp(jax.grad(f, argnums=(0, 1, 2)), a, d))(args, direction)

    def reverse_twice(f):
        g = jax.grad(f, argnums=(0, 1, 2))
        return jax.jit(
            jax.grad(lambda *a: sum(jnp.vdot(x, d) for x, d in zip(g(*a), direction, strict=True)))
        )(*args)

    close(jax.jvp(ours, args, direction)[1], jax.jvp(reference, args, direction)[1])
    jax.tree.map(close, twice(ours), twice(reference))
    close(reverse_twice(ours), reverse_twice(reference))
    many = inputs(8, heads=1, groups=1, batch=(3,))
    mapped = jax.vmap(jax.grad(ours, argnums=(0, 1, 2)))(*many)
    jax.tree.map(close, mapped, jax.vmap(jax.grad(reference, argnums=(0, 1, 2)))(*many))


@pytest.mark.parametrize("name", INTERPRETED)
def test_a_traced_scale_gets_its_gradient(name, on_cpu):
    args = inputs(130)

    def loss(scale, name):
        return jnp.sum(jnp.sin(aj.attention(*args, scale=scale, implementation=name)))

    close(jax.grad(loss)(0.2, name), jax.grad(loss)(0.2, "reference"), 1e-3)


LARGE = (jax.ShapeDtypeStruct((2, 1024, 4, 64), jnp.bfloat16),) * 3  # A kernel is preferred; nothing runs.


def program(implementation=None, gradient=False, mask=None):

    def run(*args):
        return aj.attention(*args, mask=mask, implementation=implementation).astype(jnp.float32).sum()

    return jax.jit(jax.grad(run, argnums=(0, 1, 2)) if gradient else run)


def told_of_a_gpu():
    if not NEEDS_GPU:
        return contextlib.nullcontext()
    gpu = jax.sharding.AbstractDevice(device_kind="NVIDIA H100 80GB HBM3", num_cores=132, platform="gpu")
    return jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((1,), ("x",), abstract_device=gpu))


def exported(platform, *args, **options):
    platforms = [platform] if isinstance(platform, str) else platform
    checks = {"platforms": platforms, "disabled_checks": [GPU_CALL]}
    return export.export(program(*args, **options), **checks)(*LARGE).mlir_module()


NEEDS_GPU = jax.__version_info__ >= (0, 11)  # To lower Pallas' Triton kernels.
CALLS = {"tpu": "@tpu_custom_call", "cuda": "@__gpu$xla.gpu.triton"}


PLATFORMS = [
    ("tpu", "splash"),
    pytest.param("cuda", "pallas_gpu", marks=pytest.mark.skipif(NEEDS_GPU, reason="this JAX needs a GPU")),
]


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize(("platform", "name"), PLATFORMS)
def test_a_kernel_lowers_for_its_platform_forward_and_backward(platform, name, gradient):
    for implementation in (name, None):  # Nothing else is chosen there.
        assert CALLS[platform] in exported(platform, implementation, gradient, aj.causal())


@pytest.mark.parametrize("gradient", [False, True])
def test_the_gpu_kernel_lowers_where_jax_is_told_of_a_gpu(gradient):
    """The kernel alone: the blocks beside it compute their lists of blocks, which no abstract device can."""
    x = jax.ShapeDtypeStruct((2, 256, 4, 64), jnp.bfloat16)
    pattern = pattern_of(make_problem(*[jnp.zeros(x.shape, x.dtype)] * 3, mask=aj.causal()))

    def run(*args):
        return choose.KERNELS["pallas_gpu"].attend(pattern, *args).astype(jnp.float32).sum()

    with told_of_a_gpu():
        fn = jax.jit(jax.grad(run, argnums=(0, 1, 2)) if gradient else run)
        module = export.export(fn, platforms=["cuda"], disabled_checks=[GPU_CALL])(x, x, x).mlir_module()
    assert CALLS["cuda"] in module


@pytest.mark.skipif(not NEEDS_GPU, reason="this JAX lowers the GPU kernel without a GPU")
def test_where_jax_needs_a_gpu_to_lower_for_one_another_engine_is_chosen():
    assert CALLS["cuda"] not in exported("cuda", mask=aj.causal())
    plan = aj.plan_attention(*[jnp.zeros(x.shape, x.dtype) for x in LARGE], mask=aj.causal())
    assert plan.platforms["cuda"][0] == "blockwise"
    assert "AbstractDevice" in plan.platforms["cuda"][1]["pallas_gpu"]


def on_two_devices(body=None, **options):
    """The program for TPU of a call with its batch on two devices, by `shard_map` or by XLA itself."""
    mesh = jax.sharding.AbstractMesh((2,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("x")
    place = jax.sharding.NamedSharding(mesh, spec)
    args = [jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place) for x in LARGE]
    run = program(**options)
    if body is not None:

        def run(*args):
            sharded = jax.shard_map(body, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
            return sharded(*args)

    return export.export(jax.jit(run), platforms=["tpu"])(*args).mlir_module()


def test_a_kernel_that_cannot_be_partitioned_is_left_out_where_xla_partitions_the_program():
    assert CALLS["tpu"] not in on_two_devices()
    with pytest.raises(NotImplementedError, match="shard_map"):
        on_two_devices(implementation="splash")


def test_inside_a_shard_map_the_kernel_runs_on_each_device():
    def out(*args):
        return aj.attention(*args, mask=aj.causal())

    def gradient(*args):
        return jax.grad(lambda *a: out(*a).astype(jnp.float32).sum())(*args)

    assert CALLS["tpu"] in on_two_devices(out)
    # The backward pass has two kernels, and runs the forward one again: the same, so that XLA can merge them.
    assert on_two_devices(gradient).count(CALLS["tpu"]) == 3


@pytest.mark.parametrize("gradient", [False, True])
def test_the_program_for_a_cpu_is_the_one_without_kernels(gradient, monkeypatch):
    def compiled():
        built = program(gradient=gradient, mask=aj.causal()).lower(*LARGE).compile()
        text, cost, memory = built.as_text(), built.cost_analysis(), built.memory_analysis()
        words = [
            text.count(f" {op}(") for op in ("dot", "while", "conditional", "exponential", "custom-call")
        ]
        return words, cost["flops"], memory.temp_size_in_bytes

    with_kernels = compiled()
    monkeypatch.setattr(choose, "KERNELS", {})
    assert with_kernels == compiled()


def test_a_program_for_several_platforms_holds_each_ones_body():
    module = exported(["cpu", "tpu", "cuda"], mask=aj.causal())
    assert CALLS["tpu"] in module
    assert NEEDS_GPU or CALLS["cuda"] in module
    assert "stablehlo.while" in module


def test_tracing_for_a_cpu_traces_no_kernel(monkeypatch):
    def fail(*_):
        raise AssertionError("traced")

    kernels = {n: dataclasses.replace(k, attend=fail) for n, k in choose.KERNELS.items()}
    monkeypatch.setattr(choose, "KERNELS", kernels)
    exported("cpu", gradient=True)


@pytest.mark.parametrize(("name", "platform"), [("splash", "tpu"), ("pallas_gpu", "cuda")])
def test_a_kernel_asked_for_on_another_platform_raises(name, platform):
    x = jnp.ones((1, 8, 1, 16), jnp.bfloat16)
    with pytest.raises(ValueError, match=rf"implementation is '{name}', which runs on {platform}.* for cpu"):
        aj.attention(x, x, x, implementation=name)


def reasons(**options):
    shape = {k: options.pop(k) for k in ("t", "s", "size", "width", "dtype") if k in options}
    args = inputs(**({"t": 16, "dtype": jnp.bfloat16} | shape))
    return_lse = options.pop("return_lse", False)
    problem = make_problem(*args, **options)
    pattern = pattern_of(problem)
    return {n: refusal(k, problem, pattern, return_lse) for n, k in choose.KERNELS.items()}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"return_lse": True}, "log-sum-exp"),
        ({"bias": jnp.ones((16, 16))}, "no bias"),
        ({"score": aj.softcap(2.0)}, "no scores"),
        ({"normalizer": aj.sigmoid()}, "softmax only"),
        ({"normalizer": aj.softmax(jnp.ones(2))}, "no sinks"),
        ({"dropout_rate": 0.1, "dropout_key": jax.random.key(0)}, "dropout"),
        ({"precision": "highest"}, "precision"),
        ({"mask": aj.lengths(key=jnp.array([3, 4]))}, "alike"),
        ({"mask": aj.predicate(lambda b, h, i, j: j <= b)}, "alike"),
        ({"mask": aj.causal(jnp.array([3, 4]))}, "alike"),
    ],
)
def test_what_no_kernel_can_do_is_refused_with_its_reason(options, reason):
    assert all(reason in r for r in reasons(**options).values())


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("splash", {"dtype": jnp.float16}, "float16"),
        ("pallas_gpu", {"dtype": jnp.float32}, "float32"),
        ("pallas_gpu", {"t": 16, "s": 32}, "T ≠ S"),
        ("pallas_gpu", {"mask": aj.causal(1)}, "causal"),
        ("pallas_gpu", {"mask": aj.sliding_window(3, 0)}, "causal"),
        ("pallas_gpu", {"size": 8}, "H is 8"),
        ("cudnn", {"size": 12}, "H is 12"),
        ("cudnn", {"width": 8}, "H ≠ V"),
        ("cudnn", {"mask": aj.sliding_window(3, 1)}, "causal sliding window"),
        ("cudnn", {"mask": aj.causal(), "t": 16, "s": 32}, "T ≠ S"),
    ],
)
def test_what_one_kernel_cannot_do_is_refused_with_its_reason(name, options, reason):
    assert reason in reasons(**options)[name]


def test_traced_masks_are_refused():
    seen = []
    jax.jit(lambda n: seen.append(reasons(mask=aj.lengths(key=n))) or n)(3)
    assert all("traced" in r for r in seen[0].values())


def test_a_large_mask_that_is_no_band_is_refused_by_splash():
    x = jax.ShapeDtypeStruct((8192, 2, 64), jnp.bfloat16)
    seen = []
    jax.eval_shape(lambda x: seen.append(aj.plan_attention(x, x, x, mask=aj.dilated(2))) or x, x)
    assert "134217728 pairs" in seen[0].platforms["tpu"][1]["splash"]


def test_cudnn_takes_bands_to_the_left_and_is_chosen_only_where_it_is_deterministic(monkeypatch):
    takes = cudnn.KERNEL.bands
    assert takes(Band(None, None))
    assert takes(Band(None, 0))
    assert takes(Band(-5, 0))
    assert not takes(Band(-5, 1))
    assert not takes(Band(-5, None))
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_deterministic_ops=false")
    assert "gradients vary" in cudnn.KERNEL.unasked()
    monkeypatch.setenv("XLA_FLAGS", "--a=1 --xla_gpu_deterministic_ops=true")
    assert cudnn.KERNEL.unasked() is None


def test_the_plan_names_the_engine_of_each_platform_and_why_not_the_others():
    x = jnp.ones((1024, 2, 64), jnp.bfloat16)
    plan = aj.plan_attention(x, x, x, mask=aj.causal())
    assert plan.engine == "blockwise"
    assert plan.platforms["tpu"] == ("splash", {})
    assert plan.platforms["cuda"][0] == ("blockwise" if NEEDS_GPU else "pallas_gpu")
    assert plan.platforms["cuda"][1]["cudnn"]
    assert "on tpu   splash" in str(plan)
    small = aj.plan_attention(x[:8], x[:8], x[:8])
    assert small.platforms["tpu"] == ("reference", {"splash": "preferred from 16 queries"})
    asked = aj.plan_attention(x, x, x, implementation="splash")
    assert (asked.engine, asked.reason, asked.platforms) == ("splash", "asked for", {})
    with pytest.raises(ValueError, match="implementation 'splash' can't do this: its log-sum-exp"):
        aj.plan_attention(x, x, x, implementation="splash", return_lse=True)
