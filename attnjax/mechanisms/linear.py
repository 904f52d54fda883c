"""The linear and recurrent family; each function is in the file of its name in `ops/linear/members`."""

from dataclasses import replace
from typing import Any

from attnjax.mechanisms.base import Gate, Paper, Recurrence
from attnjax.mechanisms.option import Option

_HEAD_DECAY, _CHANNEL_DECAY = Gate("*B T K", "log_decay"), Gate("*B T K H", "log_decay")
_STRENGTH = Gate("*B T K", "strength")
_GAIN, _SHIFT = Gate("H", "free", optional=True), Gate("H", "free", optional=True, start=0.0)
_SCALE = {"scale": Option(None, "factor of the query; None: the paper's", "float", above=0)}
_FEATURES = "O(T·F·V)"
_DELTA_RULE: dict[str, Any] = {
    "key": "unit",
    "unit_query": True,
    "short_convolution": True,
    "two_sided": "mean",
}


def _row(
    name: str, authors: str, year: int, title: str, arxiv: str, formula: str, **fields: Any
) -> Recurrence:
    return Recurrence(
        name=name,
        formula=formula,
        target=f"attnjax.ops.linear.members.{name}:{name}",
        paper=Paper(authors, year, title, arxiv),
        **fields,
    )


ROWS = (
    _row(
        *("linear", "Katharopoulos et al.", 2020),
        *("Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention", "2006.16236"),
        "o_t = Σ_j φ(q_t)·φ(k_j) v_j / Σ_j φ(q_t)·φ(k_j), φ = elu + 1",
        cost="O(T·H·V)",
        state="*B K F V+1",
        two_sided="quotient",
    ),
    _row(
        *("retention", "Sun et al.", 2023),
        *("Retentive Network: A Successor to Transformer for Large Language Models", "2307.08621"),
        "S_t = γ_h S_{t-1} + k_t v_tᵀ, γ_h = 1 - 2^(-5-h); o_t = S_tᵀ q_t",
        options=_SCALE,
        two_sided="sum",
        heads_differ=True,
    ),
    _row(
        *("lightning", "Qin et al.", 2024),
        "Lightning Attention-2: A Free Lunch for Handling Unlimited Sequence Lengths in Large Language "
        "Models",
        "2401.04658",
        "S_t = e^{-s_h} S_{t-1} + k_t v_tᵀ, fixed slopes s_h; o_t = S_tᵀ q_t",
        options={
            "layer": Option(0, "number of the layer", least=0, of_model="layer"),
            "layers": Option(1, "layers of the model: the last hardly forgets", least=1, of_model="layers"),
            **_SCALE,
        },
        two_sided="sum",
        heads_differ=True,
    ),
    _row(
        *("simple_gla", "Sun et al.", 2024),
        *("You Only Cache Once: Decoder-Decoder Architectures for Language Models", "2405.05254"),
        "S_t = e^{g_t} S_{t-1} + k_t v_tᵀ, g_t a number per head; o_t = S_tᵀ q_t",
        gates={"decay": _HEAD_DECAY},
        options=_SCALE,
        two_sided="sum",
    ),
    _row(
        *("mamba2", "Dao & Gu", 2024),
        "Transformers are SSMs: Generalized Models and Efficient Algorithms Through Structured State Space "
        "Duality",
        "2405.21060",
        "S_t = e^{dt_t·A} S_{t-1} + dt_t k_t v_tᵀ; o_t = S_tᵀ q_t + D v_t",
        gates={
            "dt": Gate("*B T K", "positive", start=(1e-3, 1e-1)),
            "rate": Gate("K", "rate", start=(1.0, 16.0)),
            "skip": Gate("K", "free", optional=True),
        },
        options=_SCALE,
        many_values=True,
        short_convolution=True,
        two_sided="sum",
    ),
    _row(
        *("gla", "Yang et al.", 2023),
        *("Gated Linear Attention Transformers with Hardware-Efficient Training", "2312.06635"),
        "S_t = diag(e^{g_t}) S_{t-1} + k_t v_tᵀ; o_t = S_tᵀ q_t",
        gates={"decay": _CHANNEL_DECAY},
        options=_SCALE,
        two_sided="sum",
    ),
    _row(
        *("hgrn2", "Qin et al.", 2024),
        *("HGRN2: Gated Linear RNNs with State Expansion", "2404.07904"),
        "S_t = diag(f_t) S_{t-1} + (1 - f_t) v_tᵀ; o_t = S_tᵀ q_t; f = γ + (1 - γ) σ(·), γ = layer/layers",
        key="log_forget",
        options={
            "layer": Option(0, "number of the layer", least=0, of_model="layer"),
            "layers": Option(1, "layers of the model: later ones keep more", least=1, of_model="layers"),
            **_SCALE,
        },
        two_sided="sum",
    ),
    _row(
        *("rwkv6", "Peng et al.", 2024),
        *("Eagle and Finch: RWKV with Matrix-Valued States and Dynamic Recurrence", "2404.05892"),
        "o_t = (S_{t-1} + diag(u) k_t v_tᵀ)ᵀ q_t; S_t = diag(e^{g_t}) S_{t-1} + k_t v_tᵀ",
        gates={"decay": _CHANNEL_DECAY, "bonus": Gate("K H", "free")},
        options=_SCALE,
        two_sided="sum",
    ),
    _row(
        *("delta_net", "Yang et al.", 2024),
        *("Parallelizing Linear Transformers with the Delta Rule over Sequence Length", "2406.06484"),
        "S_t = (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ; o_t = S_tᵀ q_t",
        gates={"strength": _STRENGTH},
        options=_SCALE,
        **_DELTA_RULE,
    ),
    _row(
        *("gated_delta_net", "Yang et al.", 2024),
        *("Gated Delta Networks: Improving Mamba2 with Delta Rule", "2412.06464"),
        "S_t = e^{g_t} (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ; o_t = S_tᵀ q_t",
        gates={"decay": _HEAD_DECAY, "strength": _STRENGTH},
        options=_SCALE,
        **_DELTA_RULE,
    ),
    _row(
        *("kda", "Kimi Team", 2025),
        *("Kimi Linear: An Expressive, Efficient Attention Architecture", "2510.26692"),
        "S_t = (I - β_t k_t k_tᵀ) diag(e^{g_t}) S_{t-1} + β_t k_t v_tᵀ; o_t = S_tᵀ q_t",
        gates={"decay": replace(_CHANNEL_DECAY, decay="softplus"), "strength": _STRENGTH},
        options=_SCALE,
        **_DELTA_RULE,
    ),
    _row(
        *("gdn2", "Hatamizadeh et al.", 2026),
        *("Gated DeltaNet-2: Decoupling Erase and Write in Linear Attention", "2605.22791"),
        "S_t = (I - k_t (b_t ⊙ k_t)ᵀ) diag(e^{g_t}) S_{t-1} + k_t (w_t ⊙ v_t)ᵀ; o_t = S_tᵀ q_t",
        gates={
            "decay": replace(_CHANNEL_DECAY, decay="softplus"),
            "erase_strength": Gate("*B T K H", "strength"),
            "write_strength": Gate("*B T K V", "strength"),
        },
        options=_SCALE,
        **_DELTA_RULE,
    ),
    _row(
        *("comba", "Hu et al.", 2025),
        *("Comba: Improving Bilinear RNNs with Closed-loop Control", "2506.02475"),
        "S_t = e^{g_t} (I - b β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ; o_t = S_tᵀ (q_t - d k_t)",
        gates={
            "decay": _HEAD_DECAY,
            "strength": _STRENGTH,
            "feedback": Gate("K", "strength"),
            "correction": Gate("K", "free"),
        },
        options=_SCALE,
        **_DELTA_RULE,
    ),
    _row(
        *("delta_product", "Siems et al.", 2025),
        *("DeltaProduct: Improving State-Tracking in Linear RNNs via Householder Products", "2502.10297"),
        "S ← e^{g_t} S_{t-1}, then M times S ← (I - β_tj k_tj k_tjᵀ) S + β_tj k_tj v_tjᵀ; o_t = Sᵀ q_t",
        cost="O(T·M·H·V)",
        gates={
            "strength": Gate("*B T M K", "strength"),
            "decay": Gate("*B T K", "log_decay", optional=True),
        },
        options={"writes": Option(2, "M, writes of a token", least=1), **_SCALE},
        **_DELTA_RULE | {"key": "writes"},
    ),
    _row(
        *("rwkv7", "Peng et al.", 2025),
        *('RWKV-7 "Goose" with Expressive Dynamic State Evolution', "2503.14456"),
        "S_t = diag(e^{g_t}) S_{t-1} - (a_t ⊙ κ_t) (κ_tᵀ S_{t-1}) + k_t v_tᵀ; o_t = S_tᵀ q_t",
        gates={
            "decay": _CHANNEL_DECAY,
            "removal": Gate("*B T K H", "unit"),
            "learning_rate": Gate("*B T K H", "strength"),
        },
        options=_SCALE,
        two_sided="mean",
    ),
    _row(
        *("performer", "Choromanski et al.", 2020),
        *("Rethinking Attention with Performers", "2009.14794"),
        "as linear, with φ(x) = exp(Ωx - |x|²/2) of x / H^¼ for random rows of Ω",
        cost=_FEATURES,
        gates={"projection": Gate("F H", "random")},
        options={"features": Option(None, "F, rows of Ω; None: 2·head_dim", least=1)},
        state="*B K F V+1",
        two_sided="quotient",
    ),
    _row(
        *("cosformer", "Qin et al.", 2022),
        *("cosFormer: Rethinking Softmax in Attention", "2202.08791"),
        "weights relu(q_t)·relu(k_j) cos(π/2 · (t - j)/M), over their sum",
        options={
            "horizon": Option(
                4096,
                "M, no less than any distance between tokens",
                "float",
                above=0,
                of_model="max_length",
                holds=True,
            )
        },
        shards=False,
        state="*B K 2·H V+1",
        two_sided="quotient",
    ),
    _row(
        *("based", "Arora et al.", 2024),
        *("Simple linear attention language models balance the recall-throughput tradeoff", "2402.18668"),
        "weights 1 + x + x²/2 of x = q_t·k_j/√H, over their sum",
        cost="O(T·H²·V)",
        state="*B K 1+H+H·(H+1)/2 V+1",
        two_sided="quotient",
    ),
    _row(
        *("rebased", "Aksenov et al.", 2024),
        *("Linear Transformers with Learnable Kernel Functions are Better In-Context Models", "2402.10644"),
        "weights (q'_t·k'_j)² of q' = γ ⊙ norm(q) + β, k' likewise, over their sum",
        cost="O(T·H²·V)",
        gates={"query_gain": _GAIN, "query_shift": _SHIFT, "key_gain": _GAIN, "key_shift": _SHIFT},
        state="*B K H·(H+1)/2 V+1",
        two_sided="quotient",
    ),
    _row(
        *("log_linear", "Guo et al.", 2025),
        *("Log-Linear Attention", "2506.04761"),
        "o_t = Σ_l λ_t^(l) S_t^(l)ᵀ q_t over stretches l of the past, twice as long the farther they are",
        cost="O(T·log T·H·V)",
        gates={"decay": _HEAD_DECAY, "levels": Gate("*B T K L", "positive")},
        options={"levels": Option(12, "L, stretches: 12 are for 2048 tokens", least=1), **_SCALE},
        short_convolution=True,
        shards=False,
        state={"levels": "*B K L H V", "seen": "*B"},
    ),
    _row(
        *("mesa", "von Oswald et al.", 2025),
        *("MesaNet: Sequence Modeling by Locally Optimal Test-Time Training", "2506.05233"),
        "o_t = G_tᵀ (C_t + Λ)⁻¹ q_t, C and G the decaying sums of β k kᵀ and β k vᵀ",
        cost="O(T·iterations·H·(H+V))",
        gates={"decay": _HEAD_DECAY, "strength": _STRENGTH, "ridge": Gate("K H", "positive")},
        options={"iterations": Option(30, "steps of conjugate gradients; H are exact", least=1)},
        key="unit",
        unit_query=True,
        short_convolution=True,
        shards=False,
        state={"covariance": "*B K H H", "memory": "*B K H V"},
    ),
    _row(
        *("gated_slot", "Zhang et al.", 2024),
        *("Gated Slot Attention for Efficient Linear-Time Sequence Modeling", "2409.07146"),
        "o_t = Ṽ_tᵀ softmax(K̃_t q_t) over M slots that forget by α_t and take in 1 - α_t",
        cost="O(T·M·(H+V))",
        gates={"decay": Gate("*B T K M", "log_decay")},
        options={"slots": Option(None, "M; None: head_dim", least=1), **_SCALE},
        shards=False,
        state={"keys": "*B K H M", "values": "*B K M V"},
    ),
)
