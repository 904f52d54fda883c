"""Kernels of other libraries in programs lowered for their platforms, and no trace of them for others."""

import contextlib
import dataclasses

import jax
import jax.numpy as jnp
import pytest
from jax import export
from jax.experimental.custom_partitioning import custom_partitioning

import attnjax as aj
from attnjax.ops.arguments import make_call
from attnjax.ops.engines import choose
from attnjax.ops.engines.by_platform import Route, by_platform
from attnjax.ops.engines.kernel import pattern_of
from tests.daily import daily

pytestmark = pytest.mark.versions

GPU_CALL = export.DisabledSafetyCheck.custom_call("__gpu$xla.gpu.triton")
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
    pattern = pattern_of(make_call(*[jnp.zeros(x.shape, x.dtype)] * 3, mask=aj.causal()))

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
    with pytest.raises(ValueError, match="over the 2 devices of this program"):
        on_two_devices(implementation="splash")


def test_what_custom_partitioning_wraps_is_lowered_in_a_program_for_one_device():
    """As cuDNN's attention is: JAX shows a program's device to such a body only where it sees it."""
    double = custom_partitioning(lambda x: 2 * x)
    double.def_partition(
        partition=None, infer_sharding_from_operands=None, sharding_rule="i -> i", decode_shardings=True
    )

    def run(x):
        return by_platform(list, [Route(("cpu",), lambda xs: [double(*xs)])], list, [x])[0]

    assert jax.jit(run)(jnp.ones(3)).tolist() == [2, 2, 2]


def test_inside_a_shard_map_the_kernel_runs_on_each_device():
    def out(*args):
        return aj.attention(*args, mask=aj.causal())

    def gradient(*args):
        return jax.grad(lambda *a: out(*a).astype(jnp.float32).sum())(*args)

    assert CALLS["tpu"] in on_two_devices(out)
    # The backward pass has two kernels, and runs the forward one again: the same, so that XLA can merge them.
    assert on_two_devices(gradient).count(CALLS["tpu"]) == 3


@pytest.mark.parametrize("gradient", daily([False, True], [True]))
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
