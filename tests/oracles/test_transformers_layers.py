"""Attention layers against the modules of open models in transformers, whose weights are copied by hand."""

import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax import nn
from attnjax.ops import masks
from attnjax.ops.positions import Llama3Scaling, YarnScaling
from tests.daily import daily
from tests.oracles.torch_modules import SIZES, D, H, K, N, T, drawn, put, x

torch = pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")
pytest.importorskip("transformers", reason="transformers is not installed (extra: oracles)")

ROPES = {
    "llama3": {
        "rope_type": "llama3",
        "rope_theta": 500.0,
        "factor": 4.0,
        "original_max_position_embeddings": 32,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
    },
    "yarn": {
        "rope_type": "yarn",
        "rope_theta": 500.0,
        "factor": 4.0,
        "original_max_position_embeddings": 32,
    },
}
ONE_GROUP = nn.HeadNorm(groups=1, gain="each", eps=1e-5)

# Name: (package, class, fields of its config, settings of ours).
SOFTMAX: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "Llama 3.1": (
        "llama",
        "Llama",
        {"head_dim": H, "rope_parameters": ROPES["llama3"]},
        {"rope": nn.Rope(base=500.0, scaling=Llama3Scaling(4.0, 32))},
    ),
    "Llama with YaRN": (
        "llama",
        "Llama",
        {"head_dim": H, "rope_parameters": ROPES["yarn"]},
        {"rope": nn.Rope(base=500.0, scaling=YarnScaling(4.0, 32))},
    ),
    "Qwen2": (
        "qwen2",
        "Qwen2",
        {"head_dim": H, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
        {"bias": ("query", "key", "value"), "rope": nn.Rope(base=1e6)},
    ),
    "Phi": (
        "phi",
        "Phi",
        {
            "head_dim": H,
            "qk_layernorm": False,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "partial_rotary_factor": 0.5,
            },
        },
        {"bias": True, "rope": nn.Rope(fraction=0.5)},
    ),
    "OLMo 2": (
        "olmo2",
        "Olmo2",
        {"head_dim": H, "rms_norm_eps": 1e-5},
        {"qk_norm": ONE_GROUP, "rope": nn.Rope()},
    ),
    "Gemma 2": (
        "gemma2",
        "Gemma2",
        {
            "head_dim": H,
            "query_pre_attn_scalar": 5,
            "attn_logit_softcapping": 2.0,
            "sliding_window": 3,
            "layer_types": ["sliding_attention"],
        },
        {"scale": 5.0**-0.5, "softcap": 2.0, "window": 3, "rope": nn.Rope()},
    ),
    "gpt-oss": (
        "gpt_oss",
        "GptOss",
        {
            "head_dim": H,
            "attention_bias": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 150000.0},
        },
        {"bias": True, "sink": True, "rope": nn.Rope(base=150000.0)},
    ),
    "Qwen3-Next": (
        "qwen3_next",
        "Qwen3Next",
        {
            "head_dim": H,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "partial_rotary_factor": 0.5,
            },
        },
        {"qk_norm": True, "output_gate": "elementwise", "rope": nn.Rope(base=1e6, fraction=0.5)},
    ),
}


def copied(layer: nn.SoftmaxAttention, theirs: dict[str, np.ndarray]) -> None:
    if layer.output_gate is not None:
        both = theirs["q_proj.weight"].reshape(N, 2, H, D)
        theirs["q_proj.weight"], gate = (both[:, part].reshape(N * H, D) for part in (0, 1))
        put(layer.output_gate.up, gate)
    for name, ours in (("q", layer.query), ("k", layer.key), ("v", layer.value), ("o", layer.out)):
        name = "dense" if name == "o" and "dense.weight" in theirs else f"{name}_proj"
        put(ours, theirs[f"{name}.weight"], theirs.get(f"{name}.bias"))
    for name, norm in (("q_norm", layer.query_norm), ("k_norm", layer.key_norm)):
        if norm is not None:
            # Qwen3-Next keeps what it adds to 1.
            plus = 1.0 if layer.output_gate is not None else 0.0
            norm.scale[...] = jnp.asarray(theirs[f"{name}.weight"].reshape(norm.scale.shape) + plus)
    if layer.sink is not None:
        layer.sink[...] = jnp.asarray(theirs["sinks"])


@pytest.mark.parametrize("name", daily(SOFTMAX, ["Llama 3.1", "Phi", "Gemma 2", "gpt-oss", "Qwen3-Next"]))
def test_softmax_attention(name: str) -> None:
    package, prefix, fields, settings = SOFTMAX[name]
    peer = importlib.import_module(f"transformers.models.{package}.modeling_{package}")
    make_config = getattr(
        importlib.import_module(f"transformers.models.{package}.configuration_{package}"), f"{prefix}Config"
    )
    config = make_config(**SIZES, **fields, max_position_embeddings=128, attn_implementation="eager")
    module = getattr(peer, f"{prefix}Attention")(config, layer_idx=0).eval()
    layer = nn.SoftmaxAttention(D, N, kv_heads=K, head_dim=H, **{"bias": False} | settings, rngs=nnx.Rngs(0))
    copied(layer, drawn(module))

    width = fields.get("sliding_window", T)
    allowed = np.tril(np.ones((T, T), bool)) & ~np.tril(np.ones((T, T), bool), -width)
    mask = torch.tensor(np.where(allowed, 0, -np.inf)[None, None], dtype=torch.float32)
    tokens = torch.tensor(x())
    # Far from 0, where a scaling has something to say.
    at = torch.arange(T)[None] + 50
    rotary = getattr(peer, f"{prefix}RotaryEmbedding")(config)
    with torch.no_grad():
        places = (
            rotary(tokens, at)
            if "layer_type" not in _parameters(rotary.forward)
            else rotary(tokens, at, None)
        )
        expected = module(tokens, position_embeddings=places, attention_mask=mask)[0]
    with jax.enable_x64(False):
        out = layer(jnp.asarray(x()), mask=masks.causal(), positions=jnp.arange(T) + 50).out
    np.testing.assert_allclose(out, expected.numpy(), atol=2e-5)
    # What the settings say takes effect.
    plain = nn.SoftmaxAttention(D, N, kv_heads=K, head_dim=H, bias=False, rngs=nnx.Rngs(0))
    for part in ("query", "key", "value", "out"):
        getattr(plain, part).kernel[...] = getattr(layer, part).kernel[...]
    assert np.abs(plain(jnp.asarray(x()), mask=masks.causal()).out - expected.numpy()).max() > 1e-2


def _parameters(function: Any) -> Any:
    import inspect

    return inspect.signature(function).parameters


def peer_of(package: str, prefix: str, **fields: Any) -> tuple[Any, Any, Any]:
    """Returns the attention module of a package, its config, and the angles of T tokens."""
    peer = importlib.import_module(f"transformers.models.{package}.modeling_{package}")
    configs = importlib.import_module(f"transformers.models.{package}.configuration_{package}")
    rope = {"rope_type": "default", "rope_theta": 10_000.0}
    config = getattr(configs, f"{prefix}Config")(
        **fields, hidden_size=D, rope_parameters=rope, attn_implementation="eager"
    )
    module = getattr(peer, f"{prefix}Attention")(config, layer_idx=1).eval()
    places = getattr(peer, f"{prefix}RotaryEmbedding")(config)(torch.tensor(x()), torch.arange(T)[None])
    return module, config, places


def answered(module: Any, places: Any) -> np.ndarray:
    mask = torch.tensor(np.where(np.tril(np.ones((T, T), bool)), 0, -np.inf)[None, None], dtype=torch.float32)
    with torch.no_grad():
        return module(torch.tensor(x()), position_embeddings=places, attention_mask=mask)[0].numpy()


@pytest.mark.parametrize("query_rank", daily([None, 6], [6]))
def test_multi_head_latent_attention(query_rank: int | None) -> None:
    """DeepSeek-V3's layer, at once and with the compressed cache."""
    sizes = {"kv_rank": 5, "rope_dim": 4, "head_dim": 6, "value_dim": 3}
    module, _, places = peer_of(
        "deepseek_v3",
        "DeepseekV3",
        num_attention_heads=N,
        num_key_value_heads=N,
        q_lora_rank=query_rank,
        kv_lora_rank=sizes["kv_rank"],
        qk_rope_head_dim=sizes["rope_dim"],
        qk_nope_head_dim=sizes["head_dim"],
        v_head_dim=sizes["value_dim"],
    )
    theirs = drawn(module)
    layer = nn.LatentAttention(
        D, N, query_rank=query_rank, bias=False, rope="interleaved", **sizes, rngs=nnx.Rngs(0)
    )
    latent, rotated = np.split(theirs["kv_a_proj_with_mqa.weight"], [5])
    put(layer.compress, latent)
    put(layer.rope_key, rotated)
    keys, values = np.split(theirs["kv_b_proj.weight"].reshape(N, 9, 5), [6], axis=1)
    put(layer.key, keys.reshape(-1, 5))
    put(layer.value, values.reshape(-1, 5))
    put(layer.out, theirs["o_proj.weight"])
    layer.compress_norm.scale[...] = jnp.asarray(theirs["kv_a_layernorm.weight"])
    if query_rank is None:
        put(layer.query, theirs["q_proj.weight"])
    else:
        put(layer.query_down, theirs["q_a_proj.weight"])
        layer.query_down_norm.scale[...] = jnp.asarray(theirs["q_a_layernorm.weight"])
        put(layer.query, theirs["q_b_proj.weight"])
    expected = answered(module, places)
    with jax.enable_x64(False):
        out = layer(jnp.asarray(x()), mask=masks.causal()).out
        step = jax.jit(lambda x, cache: layer(x, mask=masks.causal(cache.length), cache=cache))
        cache, steps = layer.empty_cache((2,), T, jnp.float32), []
        for t in range(T):
            one, cache, _ = step(jnp.asarray(x()[:, t : t + 1]), cache)
            steps.append(one)
    np.testing.assert_allclose(out, expected, atol=2e-5)
    np.testing.assert_allclose(jnp.concatenate(steps, 1), expected, atol=2e-5)


def test_differential_attention() -> None:
    """DiffLlama's layer, whose two halves of heads are those of each of ours; its norm has no gain."""
    module, _, places = peer_of(
        "diffllama", "DiffLlama", num_attention_heads=8, num_key_value_heads=4, head_dim=4, rms_norm_eps=1e-5
    )
    theirs = drawn(module)
    layer = nn.DifferentialAttention(
        D, 4, layer=1, kv_heads=2, head_dim=4, bias=False, rope="halves", rngs=nnx.Rngs(0)
    )
    for part, name in ((layer.query, "q"), (layer.key, "k"), (layer.value, "v")):
        halves = theirs[f"{name}_proj.weight"].reshape(2, -1, 4, D)
        put(part, np.moveaxis(halves, 0, 1).reshape(-1, D))
    put(layer.out, theirs["o_proj.weight"])
    vectors = [[theirs[f"lambda_{side}{pair}"] for side in "qk"] for pair in (1, 2)]
    layer.exponents[...] = jnp.asarray(vectors)
    with jax.enable_x64(False):
        out = layer(jnp.asarray(x()), mask=masks.causal()).out
    np.testing.assert_allclose(out, answered(module, places), atol=2e-5)


def test_mixture_of_attention() -> None:
    """JetMoE's: its experts have a head each, which share a key and a value."""
    fields = {"num_key_value_heads": 1, "kv_channels": H, "num_local_experts": N, "num_experts_per_tok": 2}
    module, _, places = peer_of("jetmoe", "JetMoe", **fields, num_hidden_layers=2)
    theirs = drawn(module)
    layer = nn.MixtureOfAttention(D, N, active=2, head_dim=H, bias=("out",), rope="halves", rngs=nnx.Rngs(0))
    key, value = np.split(theirs["kv_proj.weight"], 2)
    put(layer.key, key)
    put(layer.value, value)
    put(layer.query, theirs["experts.input_linear.weight"].reshape(N * H, D))
    rows = np.swapaxes(theirs["experts.output_linear.weight"], 1, 2)
    layer.out.kernel[...] = jnp.asarray(rows)
    layer.out.bias[...] = jnp.asarray(theirs["experts.bias"])
    put(layer.router, theirs["experts.router.layer.weight"])
    with jax.enable_x64(False):
        out = layer(jnp.asarray(x()), mask=masks.causal()).out
    np.testing.assert_allclose(out, answered(module, places), atol=1e-5, rtol=1e-5)
