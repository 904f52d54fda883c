"""The classic scorers: comparisons of a query with a key, joined by & with masks and the rest."""

from typing import Any

from attnjax.mechanisms.base import Option, Paper, Recipe

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
        f"{_LAYERS}:Additive",
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
        f"{_LAYERS}:Bilinear",
    ),
    _comparison(
        "cosine",
        "s_ij = cos(q_i, k_j)/τ, a learned τ of each head",
        Paper("Liu et al.", 2021, "Swin Transformer V2: Scaling Up Capacity and Resolution", "2111.09883"),
        f"{_LAYERS}:Cosine",
        options={"temperature": Option(0.1, "where τ starts", "float", above=0)},
    ),
    _comparison(
        "linear_combination",
        "s_ij = w·[q_i; k_j; q_i⊙k_j] + b",
        Paper("Seo et al.", 2016, "Bidirectional Attention Flow for Machine Comprehension", "1611.01603"),
        f"{_LAYERS}:LinearCombination",
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
        f"{_LAYERS}:Rbf",
        options={"gamma": Option(None, "where γ starts; None: 1/√H", "float", above=0)},
    ),
)

ROWS = COMPARISONS
