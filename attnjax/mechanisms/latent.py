"""Relatives of softmax attention: other weights, other keys and values, several maps of weights."""

from attnjax.mechanisms.base import Layer, Mechanism, Paper, Recipe
from attnjax.mechanisms.option import Option

_NN = "attnjax.nn.latent"
_OPS = "attnjax.ops.normalizers"
_LENGTH = Option(
    512, "by which weights are divided, about the tokens of a sequence", least=1, of_model="max_length"
)
_HSTU = Paper(
    "Zhai et al.",
    2024,
    "Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers for Generative "
    "Recommendations",
    "2402.17152",
)

ROWS: tuple[Mechanism, ...] = (
    Layer(
        name="mla",
        formula="k_n = [c U_n, rope(x W_r)], v_n = c V_n, c = norm(x W_c): softmax(q·k/√(H+P)) v",
        target=f"{_NN}.mla:LatentAttention",
        holds="a cache of c and one rotated key",
        scaled=True,
        paper=Paper(
            "DeepSeek-AI",
            2024,
            "DeepSeek-V2: A Strong, Economical, and Efficient Mixture-of-Experts Language Model",
            "2405.04434",
        ),
        options={
            "kv_rank": Option(None, "the size of c; None: 4·H", least=1),
            "query_rank": Option(None, "the size of what queries come from; None: x itself", least=1),
            "rope_dim": Option(None, "P, the size of the rotated key; None: H/2", least=2),
        },
    ),
    Layer(
        name="differential",
        formula="(1-λ₀)·norm((softmax(q¹·k¹/√H) - λ·softmax(q²·k²/√H)) v), λ = exp(a¹·b¹) - exp(a²·b²) + λ₀",
        target=f"{_NN}.differential:DifferentialAttention",
        paper=Paper("Ye et al.", 2024, "Differential Transformer", "2410.05258"),
        options={"layer": Option(0, "λ₀ = 0.8 - 0.6·exp(-0.3·layer)", least=0, of_model="layer")},
    ),
    Layer(
        name="selective",
        formula="softmax(s - F) v, F_ij = Σ_{k<i} relu(s_kj) of the first head, for j < k",
        target=f"{_NN}.selective:SelectiveAttention",
        paper=Paper("Leviathan et al.", 2024, "Selective Attention Improves Transformer", "2410.02703"),
        causal_only=True,
        heads_differ=True,
    ),
    Layer(
        name="tensor_product",
        formula="softmax attention, q = Σ_r a_r(x) b_r(x)ᵀ / R over heads and channels, and so k and v",
        target=f"{_NN}.tensor_product:TensorProductAttention",
        holds="a cache of a and b",
        paper=Paper("Zhang et al.", 2025, "Tensor Product Attention Is All You Need", "2501.06425"),
        options={
            "rank": Option(2, "R of keys and values", least=1),
            "query_rank": Option(6, "R of queries", least=1),
        },
    ),
    Layer(
        name="path",
        formula="softmax(q_i·M_i ⋯ M_{j+1} k_j/√H) v, M_l = I - β_l w_l w_lᵀ, in the place of rotations",
        target=f"{_NN}.path:PathAttention",
        paper=Paper(
            "Yang et al.",
            2025,
            "PaTH Attention: Position Encoding via Accumulating Householder Transformations",
            "2505.16381",
        ),
        causal_only=True,
    ),
    Layer(
        name="deltaformer",
        formula="softmax(q·k/√H) u, u_t = v_t - β_t Σ_{j<t} softmax_j(k_t·k_j/√H) u_j",
        target=f"{_NN}.deltaformer:DeltaFormerAttention",
        paper=Paper(
            "Zhong et al.",
            2025,
            "Understanding Transformer from the Perspective of Associative Memory",
            "2505.19488",
        ),
        causal_only=True,
    ),
    Layer(
        name="multi_token",
        formula="softmax(ŝ) v, ŝ_ij = Σ_{a,b} θ[a, b] s_{i-a, j-b}; weights of a group of heads mix",
        target=f"{_NN}.multi_token:MultiTokenAttention",
        paper=Paper("Golovneva et al.", 2025, "Multi-Token Attention", "2504.00927"),
        causal_only=True,
        streaming=False,
        heads_differ=True,
        options={
            "queries": Option(6, "queries that θ takes in, the asking one included", least=1),
            "keys": Option(11, "keys that θ takes in, around the one that is read", least=1),
            "group": Option(2, "heads whose weights mix", least=1),
        },
    ),
    Layer(
        name="value_residual",
        formula="softmax(q·k/√H)(a·v¹ + b·v), v¹ those of the first such layer of the stack",
        target=f"{_NN}.value_residual:ValueResidualAttention",
        paper=Paper("Zhou et al.", 2024, "Value Residual Learning", "2410.17897"),
    ),
    Layer(
        name="hstu",
        formula="norm(Σ_j silu(q·k + b)/length · v) ⊙ u, with silu of the projections to q, k, v and u",
        target=f"{_NN}.hstu:HSTUAttention",
        scaled=True,
        paper=_HSTU,
        options={"length": _LENGTH},
    ),
    Recipe(
        name="talking_heads",
        role="normalizer",
        formula="w_n = Σ_m softmax_j(Σ_l s_l·P[l, m])·Q[m, n], learned matrices over heads",
        target=f"{_NN}.talking_heads:LearnedTalkingHeads",
        paper=Paper("Shazeer et al.", 2020, "Talking-Heads Attention", "2003.02436"),
        of_layer=True,
    ),
    Recipe(
        name="stick_breaking",
        role="normalizer",
        formula="σ(s_ij)·Π_l (1 - σ(s_il)) over the keys l between j and i: the nearest take first",
        target=f"{_OPS}:stick_breaking",
        paper=Paper(
            "Tan et al.",
            2024,
            "Scaling Stick-Breaking Attention: An Efficient Implementation and In-depth Study",
            "2410.17980",
        ),
        causal_only=True,
        options={"own": Option(False, "a token's own key takes a share too", "bool")},
    ),
    Recipe(
        name="cog",
        role="normalizer",
        formula="sign(s_ij)·softmax_j|s_ij|",
        target=f"{_OPS}:cog",
        paper=Paper("Lv et al.", 2024, "More Expressive Attention with Negative Weights", "2411.07176"),
    ),
    Recipe(
        name="squared_relu",
        role="normalizer",
        formula="relu(s_ij)² / length, each pair on its own",
        target=f"{_OPS}:squared_relu",
        paper=Paper("Hua et al.", 2022, "Transformer Quality in Linear Time", "2202.10447"),
        options={"length": _LENGTH},
    ),
    Recipe(
        name="silu",
        role="normalizer",
        formula="silu(s_ij) / length, each pair on its own",
        target=f"{_OPS}:silu",
        paper=_HSTU,
        options={"length": _LENGTH},
    ),
    Layer(
        name="attention_residual",
        formula="a layer reads norm(Σ_l w_l y_l), w = softmax_l(q·rmsnorm(y_l)) over what all below gave; "
        "models have it by model.residual",
        target=f"{_NN}.attention_residual:AttentionResidual",
        paper=Paper("Kimi Team", 2026, "Attention Residuals", "2603.15031"),
        takes="depth",
        streaming=True,
        has_weights=False,
        cost="O(T·L)",
    ),
)
