"""Rotary positions with every scaling against transformers' Llama, which computes in float32."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.ops import positions as pos

torch = pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")
llama = pytest.importorskip(
    "transformers.models.llama.modeling_llama", reason="transformers is not installed (extra: oracles)"
)
phi = pytest.importorskip("transformers.models.phi.modeling_phi")

H, ORIGINAL = 32, 64
AT = np.array([0, 1, 2, 17, 63, 64, 199, 255])
YARN = {"factor": 4.0, "original_max_position_embeddings": ORIGINAL}
# Ours, and transformers' rope_parameters.
SCALINGS = {
    "none": (None, {"rope_type": "default"}),
    "linear": (pos.LinearScaling(4.0), {"rope_type": "linear", "factor": 4.0}),
    "dynamic": (pos.DynamicNTKScaling(3.0, ORIGINAL), {"rope_type": "dynamic", "factor": 3.0}),
    "dynamic, given length": (
        pos.DynamicNTKScaling(3.0, ORIGINAL, length=256),
        {"rope_type": "dynamic", "factor": 3.0},
    ),
    "yarn": (pos.YarnScaling(4.0, ORIGINAL), {"rope_type": "yarn", **YARN}),
    "yarn, all options": (
        pos.YarnScaling(4.0, ORIGINAL, beta_fast=16.0, beta_slow=2.0, attention_factor=1.5, truncate=False),
        {
            "rope_type": "yarn",
            **YARN,
            "beta_fast": 16.0,
            "beta_slow": 2.0,
            "attention_factor": 1.5,
            "truncate": False,
        },
    ),
    "llama3": (
        pos.Llama3Scaling(8.0, ORIGINAL, low_frequency_factor=1.0, high_frequency_factor=4.0),
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": ORIGINAL,
        },
    ),
}


def peer(x: np.ndarray, base: float, fraction: float, parameters: dict) -> np.ndarray:
    """What transformers makes of x [B, T, N, H]."""
    config = llama.LlamaConfig(
        hidden_size=H,
        num_attention_heads=1,
        max_position_embeddings=ORIGINAL,
        rope_parameters={"rope_theta": base, "partial_rotary_factor": fraction, **parameters},
    )
    config.head_dim = H
    tensor, at = torch.tensor(x), torch.tensor(AT)[None]
    # Llama rotates whole heads, Phi a part of them; what is scaled is the same.
    embedding = (llama.LlamaRotaryEmbedding if fraction == 1 else phi.PhiRotaryEmbedding)(config)
    cos, sin = embedding(tensor, at)
    part = cos.shape[-1]
    turned, _ = llama.apply_rotary_pos_emb(tensor[..., :part], tensor[..., :part], cos, sin, unsqueeze_dim=2)
    return torch.cat([turned, tensor[..., part:]], dim=-1).numpy()


@pytest.mark.parametrize("base", [10000.0, 500.0])
@pytest.mark.parametrize("fraction", [1.0, 0.5])
@pytest.mark.parametrize("name", SCALINGS)
def test_rope_equals_transformers(name, fraction, base):
    x = np.random.default_rng(0).normal(size=(2, len(AT), 3, H)).astype(np.float32)
    scaling, parameters = SCALINGS[name]
    got = pos.rope(jnp.asarray(x), AT, base=base, fraction=fraction, scaling=scaling)
    want = peer(x, base, fraction, parameters)
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-4)
    if scaling is not None:
        wrong = dataclasses.replace(scaling, factor=1.01 * scaling.factor)
        other = pos.rope(jnp.asarray(x), AT, base=base, fraction=fraction, scaling=wrong)
        assert np.abs(other - want).max() > 1e-3
