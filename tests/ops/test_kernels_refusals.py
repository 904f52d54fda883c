"""What kernels of other libraries refuse, and the reasons that a plan gives."""

import jax
import jax.numpy as jnp
import pytest

import attnjax as aj
from attnjax.ops.arguments import make_call
from attnjax.ops.engines import choose, cudnn
from attnjax.ops.engines.kernel import Band, pattern_of, refusal
from tests.ops.test_kernels import inputs
from tests.ops.test_kernels_lowering import NEEDS_GPU


def reasons(**options):
    shape = {k: options.pop(k) for k in ("t", "s", "size", "width", "dtype") if k in options}
    args = inputs(**({"t": 16, "dtype": jnp.bfloat16} | shape))
    return_lse = options.pop("return_lse", False)
    call = make_call(*args, **options)
    pattern = pattern_of(call)
    return {n: refusal(k, call, pattern, return_lse) for n, k in choose.KERNELS.items()}


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
