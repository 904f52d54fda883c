"""The classic scorers: comparisons of a query with a key, joined by & with masks and the rest."""

from typing import Any

from attnjax.mechanisms.base import Layer, Paper, Recipe
from attnjax.mechanisms.option import Option

_LUONG = Paper(
    "Luong et al.", 2015, "Effective Approaches to Attention-based Neural Machine Translation", "1508.04025"
)


def _comparison(name: str, formula: str, paper: Paper, target: str = "", **fields: Any) -> Recipe:
    place, of_layer = target or f"attnjax.ops.comparisons:{name}", bool(target)
    return Recipe(
        name=name, role="comparison", formula=formula, paper=paper, target=place, of_layer=of_layer, **fields
    )


_LAYERS = "attnjax.nn.classic.comparisons"

COMPARISONS = (
    _comparison(
        "additive",
        "s_ij = v·tanh(q_i + k_j)",
        Paper(
            "Bahdanau et al.",
            2014,
            "Neural Machine Translation by Jointly Learning to Align and Translate",
            "1409.0473",
        ),
        f"{_LAYERS}:LearnedAdditive",
    ),
    _comparison("concat", "s_ij = v·tanh(W [q_i; k_j])", _LUONG, f"{_LAYERS}:Concat"),
    _comparison("dot", "s_ij = q_i·k_j, not scaled", _LUONG),
    _comparison(
        "scaled_dot",
        "s_ij = q_i·k_j/√H, as softmax attention has it",
        Paper("Vaswani et al.", 2017, "Attention Is All You Need", "1706.03762"),
    ),
    _comparison("general", "s_ij = q_iᵀ W k_j", _LUONG, f"{_LAYERS}:General"),
    _comparison(
        "bilinear",
        "s_ij = q_iᵀ W k_j + b",
        Paper("Kim et al.", 2018, "Bilinear Attention Networks", "1805.07932"),
        f"{_LAYERS}:LearnedBilinear",
    ),
    _comparison(
        "cosine",
        "s_ij = cos(q_i, k_j)/τ, a learned τ of each head",
        Paper("Liu et al.", 2021, "Swin Transformer V2: Scaling Up Capacity and Resolution", "2111.09883"),
        f"{_LAYERS}:LearnedCosine",
        options={"temperature": Option(0.1, "where τ starts", "float", above=0)},
    ),
    _comparison(
        "linear_combination",
        "s_ij = w·[q_i; k_j; q_i⊙k_j] + b",
        Paper("Seo et al.", 2016, "Bidirectional Attention Flow for Machine Comprehension", "1611.01603"),
        f"{_LAYERS}:LearnedLinearCombination",
    ),
    _comparison(
        "l2",
        "s_ij = -|q_i - k_j|²/√H",
        Paper("Kim et al.", 2020, "The Lipschitz Constant of Self-Attention", "2006.04710"),
    ),
    _comparison(
        "rbf",
        "s_ij = -γ·|q_i - k_j|², a learned γ of each head: softmax is a smoother with a Gaussian kernel",
        Paper(
            "Tsai et al.",
            2019,
            "Transformer Dissection: A Unified Understanding of Transformer's Attention via the Lens of "
            "Kernel",
            "1908.11775",
        ),
        f"{_LAYERS}:LearnedRbf",
        options={"gamma": Option(None, "where γ starts; None: 1/√H", "float", above=0)},
    ),
)

_SEE = Paper(
    "See et al.", 2017, "Get To The Point: Summarization with Pointer-Generator Networks", "1704.04368"
)
_CONTEXT: dict[str, Any] = {"takes": "context", "streaming": False, "has_weights": False}
_POOL = _CONTEXT | {"takes": "pool"}

LAYERS = (
    Layer(
        name="local_p",
        formula="softmax_j(s_ij, |j - p_i| ≤ D)·exp(-(j - p_i)²/(2σ²)), p = S·σ(v·tanh(W x)), σ = D/2",
        target="attnjax.nn.classic.local:LocalAttention",
        paper=_LUONG,
        options={"size": Option(10, "D, tokens on either side of p", least=1)},
        cost="O(T·S·H)",
        **_CONTEXT | {"streaming": True, "has_weights": True},
    ),
    Layer(
        name="monotonic",
        formula="α_ij = p_ij q_ij, q_ij = (1 - p_i,j-1)·q_i,j-1 + α_i-1,j, p = σ(g·v·tanh(q + k)/|v| + r)",
        target="attnjax.nn.classic.monotonic:MonotonicAttention",
        paper=Paper(
            "Raffel et al.",
            2017,
            "Online and Linear-Time Attention by Enforcing Monotonic Alignments",
            "1704.00784",
        ),
        cost="O(T·S·H)",
        **_CONTEXT,
    ),
    Layer(
        name="coverage",
        formula="softmax_j(v·tanh(q_t + k_j + w c_tj)), c_tj = Σ_{i<t} a_ij",
        target="attnjax.nn.classic.coverage:CoverageAttention",
        paper=_SEE,
        cost="O(T·S·H)",
        **_CONTEXT,
    ),
    Layer(
        name="self_attentive_pooling",
        formula="A x, A = softmax(W₂ tanh(W₁ xᵀ)); penalty ‖A Aᵀ - I‖²",
        target="attnjax.nn.classic.pooling:AttentivePooling",
        paper=Paper("Lin et al.", 2017, "A Structured Self-attentive Sentence Embedding", "1703.03130"),
        cost="O(T·H)",
        **_POOL,
    ),
    Layer(
        name="hierarchical",
        formula="words pooled to sentences, sentences to a text: Σ_j softmax_j(u·tanh(W x_j + b)) x_j",
        target="attnjax.nn.classic.pooling:HierarchicalPooling",
        paper=Paper("Yang et al.", 2016, "Hierarchical Attention Networks for Document Classification"),
        cost="O(T·H)",
        **_POOL,
    ),
    Layer(
        name="pointer",
        formula="P(w) = g·P_vocab(w) + (1 - g)·Σ_{j: source_j = w} a_j, g = σ(w·[context; state; input] + b)",
        target="attnjax.nn.classic.pointer:PointerGate",
        paper=_SEE,
        cost="O(T·(S + V))",
        **_CONTEXT,
    ),
)

ROWS = (*COMPARISONS, *LAYERS)
