"""Attention that chooses at run time what it looks at, and what makes few keys of many.

What is known before is a mask: see `recipes`.
"""

from typing import Any

from attnjax.mechanisms.base import Layer, Option, Paper

_PLACE = "attnjax.nn.sparse"
_SIZE = {"size": Option(64, "tokens of a block", least=1)}


def _layer(name: str, target: str, formula: str, paper: Paper, **fields: Any) -> Layer:
    return Layer(name=name, formula=formula, target=f"{_PLACE}.{target}", paper=paper, **fields)


ROWS = (
    _layer(
        "moba",
        "moba:MoBA",
        "softmax attention to the own block and the count-1 blocks before it of the highest q_t·mean(k)",
        Paper("Lu et al.", 2025, "MoBA: Mixture of Block Attention for Long-Context LLMs", "2502.13189"),
        options={**_SIZE, "count": Option(8, "blocks that a query sees, its own among them", least=1)},
        cost="O(T·(size·count + T/size)·H)",
        causal_only=True,
    ),
    _layer(
        "nsa",
        "nsa:NSA",
        "Σ_c σ(g_tc)·attention_c: to compressed blocks, to the tokens of those with most weight, to a window",
        Paper(
            "Yuan et al.",
            2025,
            "Native Sparse Attention: Hardware-Aligned and Natively Trainable Sparse Attention",
            "2502.11089",
        ),
        options={
            **_SIZE,
            "count": Option(16, "blocks selected, the own one among them", least=1),
            "window": Option(512, "tokens, the reading one included", least=1),
        },
        cost="O(T·(size·count + window + T/size)·H)",
        causal_only=True,
        has_weights=False,
    ),
    _layer(
        "dsa",
        "dsa:DSA",
        "softmax attention to the count keys s ≤ t of the highest I_ts = Σ_j w_tj relu(q_tj·k_s)",
        Paper(
            "DeepSeek-AI",
            2025,
            "DeepSeek-V3.2: Pushing the Frontier of Open Large Language Models",
            "2512.02556",
        ),
        options={
            "count": Option(512, "tokens that a query sees", least=1),
            "index_heads": Option(4, "J, heads of the indexer", least=1),
            "index_dim": Option(32, "I, size of such a head", least=1),
        },
        cost="O(T²·J·I/N + T·count·H)",
        causal_only=True,
    ),
)
