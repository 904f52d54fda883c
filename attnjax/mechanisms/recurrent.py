"""Whole layers of recurrent models: a recurrence with the parts that its paper puts around it."""

from typing import Any

from attnjax.mechanisms.base import ONE_SIZE, Layer, Paper
from attnjax.mechanisms.option import Option

_LAYERS = {
    "layer": Option(0, "number of the layer", least=0, of_model="layer"),
    "layers": Option(1, "layers of the model", least=1, of_model="layers"),
}


def _row(name: str, made: str, formula: str, paper: Paper, **fields: Any) -> Layer:
    return Layer(
        name=name,
        target=f"attnjax.nn.recurrent:{made}",
        formula=formula,
        paper=paper,
        causal_only=True,
        has_weights=False,
        holds=ONE_SIZE,
        **fields,
    )


# Oracles: fla-core's loops for hgrn (without phases) and ttt_linear (rates by the place alone). None for
# mamba3 and the two time mixings as layers: transformers 5.23 has no such module, and those of their authors
# and of flash-linear-attention need Triton; the recurrences of rwkv6 and rwkv7 have fla-core's.
ROWS = (
    _row(
        "hgrn",
        "HGRN",
        "h_t = λ_t e^{iθ} h_{t-1} + (1 - λ_t) c_t in each channel, λ = γ + (1-γ) σ(x W), γ = layer/layers; "
        "O norm(σ(x U) ⊙ [Re h, Im h])",
        Paper(
            "Qin et al.",
            2023,
            "Hierarchically Gated Recurrent Neural Network for Sequence Modeling",
            "2311.04823",
        ),
        cost="O(T·D)",
        options=_LAYERS,
    ),
    _row(
        "ttt_linear",
        "TTTLinear",
        "o_t = q_t + norm(W_t q_t + b_t), W_t after a step of gradient descent on "
        "½|k_j + norm(W k_j + b) - v_j|² over the tokens j ≤ t of a mini-batch",
        Paper(
            "Sun et al.",
            2024,
            "Learning to (Learn at Test Time): RNNs with Expressive Hidden States",
            "2407.04620",
        ),
        cost="O(T·H·(H + size))",
        packs=False,
        options={
            "size": Option(16, "tokens of a mini-batch", least=1),
            "rate": Option(1.0, "the largest learning rate, times H", "float", above=0),
        },
    ),
    _row(
        "mamba3",
        "Mamba3",
        "S_t = α_t S_{t-1} + (1-λ_t) Δ_t α_t k_{t-1} v_{t-1}ᵀ + λ_t Δ_t k_t v_tᵀ, α = e^{ΔA}; o_t = S_tᵀ q_t"
        ", q and k rotated by Σ Δ θ",
        Paper(
            "Lahoti et al.",
            2026,
            "Mamba-3: Improved Sequence Modeling using State Space Principles",
            "2603.15569",
        ),
        cost="O(T·state·V)",
        options={
            "state": Option(64, "size of keys and queries", least=2),
            "expand": Option(2, "channels of values, in D", least=1),
            "fraction": Option(0.5, "share of keys and queries that is rotated", "float", above=0, most=1),
        },
    ),
    _row(
        "rwkv6_time_mix",
        "RWKV6TimeMix",
        "O (silu(g) ⊙ norm(rwkv6(r, k, v))), each of x_t + (x_{t-1} - x_t) ⊙ (μ + tanh(m W) V)",
        Paper(
            "Peng et al.",
            2024,
            "Eagle and Finch: RWKV with Matrix-Valued States and Dynamic Recurrence",
            "2404.05892",
        ),
        cost="O(T·H·V)",
        options={
            **_LAYERS,
            "rank": Option(32, "of the shares' dependence on the token", least=1),
            "decay_rank": Option(64, "of the decays' dependence on the token", least=1),
        },
    ),
    _row(
        "rwkv7_time_mix",
        "RWKV7TimeMix",
        "O (g ⊙ (norm(rwkv7(r, k, v)) + (r·(ρ ⊙ k)) v)), each of x_t + (x_{t-1} - x_t) ⊙ μ, v with a share "
        "of the first layer's",
        Paper(
            "Peng et al.",
            2025,
            'RWKV-7 "Goose" with Expressive Dynamic State Evolution',
            "2503.14456",
        ),
        cost="O(T·H·V)",
        options={
            **_LAYERS,
            "rank": Option(64, "of the maps of decay and learning rate", least=1),
            "value_rank": Option(32, "of the map into shares of the first layer's values", least=1),
            "gate_rank": Option(128, "of the gate's map", least=1),
        },
    ),
)
