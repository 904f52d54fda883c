"""Recurrent layers against the modules of open models in transformers, whose weights are copied by hand."""

import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax import nn
from attnjax.ops import masks
from tests.oracles.torch_modules import D, H, K, N, T, drawn, put, x

torch = pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")
pytest.importorskip("transformers", reason="transformers is not installed (extra: oracles)")

SIZES = {"hidden_size": D, "num_attention_heads": N, "num_key_value_heads": K, "num_hidden_layers": 2}
LINEAR = {"layer_types": ["full_attention", "linear_attention"]}
SEPARATE = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "out": "o_proj"}


def made(package: str, prefix: str, module: str, **fields: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """Returns the second layer of a package, and its parameters."""
    peer = importlib.import_module(f"transformers.models.{package}.modeling_{package}")
    configs = importlib.import_module(f"transformers.models.{package}.configuration_{package}")
    layer = getattr(peer, module)(getattr(configs, f"{prefix}Config")(**fields), layer_idx=1).eval()
    return layer, drawn(layer)


def recurrent(mechanism: str, **settings: Any) -> nn.RecurrentAttention:
    settings = {"head_dim": H, "bias": False} | settings
    return nn.RecurrentAttention(D, N, mechanism=mechanism, **settings, rngs=nnx.Rngs(0))


def put_convolutions(layer: nn.RecurrentAttention, theirs: dict[str, np.ndarray], *names: str) -> None:
    """Copies a convolution of all channels, which are those of `names` in a row."""
    ours = [layer.recurrence.convolutions[name] for name in names]
    ends = np.cumsum([one.kernel[0].size for one in ours])[:-1]
    for one, kernel in zip(ours, np.split(theirs["conv1d.weight"][:, 0], ends), strict=True):
        one.kernel[...] = jnp.asarray(kernel.T[::-1].reshape(one.kernel.shape))
        assert (one.bias is None) == ("conv1d.bias" not in theirs)
    for one, bias in zip(ours, np.split(theirs.get("conv1d.bias", np.zeros(0)), ends), strict=True):
        if one.bias is not None:
            one.bias[...] = jnp.asarray(bias.reshape(one.bias.shape))


def assert_equal(layer: nn.RecurrentAttention, module: Any, *args: Any) -> None:
    """At once and, with the cache, four tokens and then one after another."""
    with torch.no_grad():
        expected = module(torch.tensor(x()), *args)
    expected = (expected[0] if isinstance(expected, tuple) else expected).numpy()
    with jax.enable_x64(False):
        out = layer(jnp.asarray(x()), mask=masks.causal()).out
        step = jax.jit(lambda x, cache: layer(x, mask=masks.causal(cache.length), cache=cache))
        cache, parts = layer.empty_cache((2,), T, jnp.float32), []
        for piece in np.split(x(), range(4, T), axis=1):
            part, cache, _ = step(jnp.asarray(piece), cache)
            parts.append(part)
    for ours in (out, jnp.concatenate(parts, 1)):
        np.testing.assert_allclose(ours, expected, atol=1e-5, rtol=1e-5)


def test_gated_delta_net() -> None:
    """Qwen3-Next's layer: fewer key heads than value heads, silu gate after the norm, decays by softplus."""
    sizes = {"linear_num_key_heads": K, "linear_num_value_heads": N, "linear_conv_kernel_dim": 3}
    sizes |= {"linear_key_head_dim": H, "linear_value_head_dim": H}
    module, theirs = made("qwen3_next", "Qwen3Next", "Qwen3NextGatedDeltaNet", **SIZES, **sizes, **LINEAR)
    layer = recurrent(
        "gated_delta_net",
        key_heads=K,
        convolution=nn.Convolution(3),
        output_gate=nn.OutputGate(activation="silu"),
    )
    groups, each = K, N // K
    rows = theirs["in_proj_qkvz.weight"].reshape(groups, 2 * H + 2 * each * H, D)
    query, key, value, gate = np.split(rows, [H, 2 * H, 2 * H + each * H], axis=1)
    strength, decay = np.split(theirs["in_proj_ba.weight"].reshape(groups, 2 * each, D), 2, axis=1)
    for part, weight in ((layer.query, query), (layer.key, key), (layer.value, value)):
        put(part, weight.reshape(-1, D))
    put(layer.output_gate.up, gate.reshape(-1, D))
    put(layer.out, theirs["out_proj.weight"])
    gates = layer.recurrence.gates
    put(gates["strength"].up, strength.reshape(-1, D), np.zeros(N, np.float32))
    put(gates["decay"].step.up, decay.reshape(-1, D), theirs["dt_bias"])
    gates["decay"].rate.raw[...] = jnp.asarray(theirs["A_log"])
    put_convolutions(layer, theirs, "query", "key", "value")
    layer.norm.scale[...] = jnp.asarray(theirs["norm.weight"])
    assert_equal(layer, module)


@pytest.mark.slow
def test_gated_delta_net_with_negative_eigenvalues() -> None:
    """OLMo Hybrid's layer: strengths up to 2, values of another size than keys."""
    sizes = {"linear_num_key_heads": N, "linear_num_value_heads": N}
    sizes |= {"linear_key_head_dim": H, "linear_value_head_dim": 6}
    module, theirs = made("olmo_hybrid", "OlmoHybrid", "OlmoHybridGatedDeltaNet", **SIZES, **sizes, **LINEAR)
    layer = recurrent(
        "gated_delta_net",
        value_dim=6,
        max_strength=2.0,
        norm=nn.HeadNorm(eps=1e-5),
        output_gate=nn.OutputGate(activation="silu"),
    )
    for ours, name in SEPARATE.items():
        put(getattr(layer, ours), theirs[f"{name}.weight"])
    put(layer.output_gate.up, theirs["g_proj.weight"])
    gates = layer.recurrence.gates
    put(gates["strength"].up, theirs["b_proj.weight"], np.zeros(N, np.float32))
    put(gates["decay"].step.up, theirs["a_proj.weight"], theirs["dt_bias"])
    gates["decay"].rate.raw[...] = jnp.asarray(theirs["A_log"])
    put_convolutions(layer, theirs, "query", "key", "value")
    layer.norm.scale[...] = jnp.asarray(theirs["o_norm.weight"])
    assert_equal(layer, module)


def test_kimi_delta_attention() -> None:
    """Kimi Linear's layer: both its gates, of decay and output, have the rank of a head."""
    sizes = {"linear_num_heads": N, "linear_head_dim": H, "mlp_layer_types": ["dense"] * 2}
    module, theirs = made("kimi_linear", "KimiLinear", "KimiLinearDeltaAttention", **SIZES, **sizes, **LINEAR)
    layer = recurrent("kda", norm=nn.HeadNorm(eps=1e-5), output_gate=nn.OutputGate(rank=H))
    for ours, name in SEPARATE.items():
        put(getattr(layer, ours), theirs[f"{name}.weight"])
    put(layer.output_gate.down, theirs["g_a_proj.weight"])
    put(layer.output_gate.up, theirs["g_b_proj.weight"])
    gates = layer.recurrence.gates
    put(gates["strength"].up, theirs["b_proj.weight"], np.zeros(N, np.float32))
    put(gates["decay"].step.down, theirs["forget_gate.f_a_proj.weight"])
    put(gates["decay"].step.up, theirs["forget_gate.f_b_proj.weight"], theirs["forget_gate.dt_bias"])
    gates["decay"].rate.raw[...] = jnp.asarray(theirs["forget_gate.A_log"].ravel())
    put_convolutions(layer, theirs, "query", "key", "value")
    layer.norm.scale[...] = jnp.asarray(theirs["o_norm.weight"])
    assert_equal(layer, module)


def test_mamba_2() -> None:
    """Groups of heads share B and C and a norm, after the gate; convolutions have biases."""
    sizes = {"num_heads": N, "head_dim": H, "n_groups": K, "state_size": 6, "expand": N * H // D}
    module, theirs = made("mamba2", "Mamba2", "Mamba2Mixer", hidden_size=D, num_hidden_layers=2, **sizes)
    layer = recurrent(
        "mamba2",
        key_heads=K,
        head_dim=6,
        value_dim=H,
        convolution=nn.Convolution(bias=True),
        norm=nn.HeadNorm(groups=K, gain="each", eps=1e-5),
        output_gate=nn.OutputGate(activation="silu", before_norm=True),
    )
    parts = np.split(theirs["in_proj.weight"], np.cumsum([N * H, N * H, K * 6, K * 6]))
    ours = (layer.output_gate.up, layer.value, layer.key, layer.query)
    for part, weight in zip(ours, parts[:4], strict=True):
        put(part, weight)
    put(layer.out, theirs["out_proj.weight"])
    gates = layer.recurrence.gates
    put(gates["dt"].up, parts[4], theirs["dt_bias"])
    gates["rate"].raw[...] = jnp.asarray(theirs["A_log"])
    gates["skip"].raw[...] = jnp.asarray(theirs["D"])
    put_convolutions(layer, theirs, "value", "key", "query")
    layer.norm.scale[...] = jnp.asarray(theirs["norm.weight"].reshape(N, H))
    assert_equal(layer, module)


def test_lightning_attention() -> None:
    """MiniMax's layer: slopes of the second of two, silu without a convolution, one norm of all heads."""
    module, theirs = made("minimax", "MiniMax", "MiniMaxLightningAttention", **SIZES, head_dim=H, **LINEAR)
    layer = recurrent(
        "lightning",
        activation="silu",
        norm=nn.HeadNorm(groups=1, gain="each"),
        output_gate=nn.OutputGate(),
        options={"layer": 1, "layers": 2, "scale": 1.0},
    )
    rows = theirs["qkv_proj.weight"].reshape(N, 3, H, D)
    for i, part in enumerate((layer.query, layer.key, layer.value)):
        put(part, rows[:, i].reshape(N * H, D))
    put(layer.out, theirs["out_proj.weight"])
    put(layer.output_gate.up, theirs["output_gate.weight"])
    layer.norm.scale[...] = jnp.asarray(theirs["norm.weight"].reshape(N, H))
    assert_equal(layer, module, None, None)
