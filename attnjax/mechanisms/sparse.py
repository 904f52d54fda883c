"""Attention that chooses at run time what it looks at, and what makes few keys of many.

What is known before is a mask: see `recipes`.
"""

from typing import Any

from attnjax.mechanisms.base import Layer, Paper
from attnjax.mechanisms.option import Option

_PLACE = "attnjax.nn.sparse"
_WHOLE: dict[str, Any] = {
    "two_sided_only": True,
    "packs": False,
    "streaming": False,
    "has_weights": False,
}
_SIZE = {"size": Option(64, "tokens of a block", least=1)}


def _layer(name: str, target: str, formula: str, paper: Paper, **fields: Any) -> Layer:
    return Layer(name=name, formula=formula, target=f"{_PLACE}.{target}", paper=paper, **fields)


# Oracles of transformers: nystrom has Nyströmformer, the choice of dsa DeepSeek-V3.2's indexer; the
# recipes longformer and bigbird have theirs, of both directions. None for lsh: Reformer sorts tokens into
# chunks that see the one before, where here a query sees the last tokens of its bucket. None for moba,
# routing and linformer, which it lacks. None for nsa: flash-linear-attention's loop overlaps its blocks.
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
    _layer(
        "lsh",
        "buckets:LSH",
        "softmax attention to the own key and, in each round, the last `size` of the bucket argmax[qΩ, -qΩ]",
        Paper("Kitaev et al.", 2020, "Reformer: The Efficient Transformer", "2001.04451"),
        options={
            "size": Option(64, "keys of a bucket that a query sees in each round", least=1),
            "buckets": Option(16, "an even number", least=2),
            "rounds": Option(2, "of hashing", least=1),
            "seed": Option(0, "decides which rotations Ω are drawn", least=0),
        },
        cost="O(T·(size·rounds + log T)·H)",
        causal_only=True,
    ),
    _layer(
        "routing",
        "buckets:Routing",
        "softmax attention to the own key and the last `size` keys whose nearest centroid is the query's",
        Paper(
            "Roy et al.",
            2020,
            "Efficient Content-Based Sparse Attention with Routing Transformers",
            "2003.05997",
        ),
        options={
            "size": Option(64, "keys of a centroid that a query sees", least=1),
            "centroids": Option(16, "their number", least=1),
        },
        cost="O(T·(size + log T)·H)",
        causal_only=True,
    ),
    _layer(
        "linformer",
        "shortened:Linformer",
        "softmax(q_t (E k)ᵀ/√H) (F v) with learned E and F of [rank, T]",
        Paper("Wang et al.", 2020, "Linformer: Self-Attention with Linear Complexity", "2006.04768"),
        options={
            "rank": Option(64, "keys and values that all tokens become", least=1),
            "length": Option(4096, "the most tokens", least=1, of_model="max_length", holds=True),
        },
        cost="O(T·rank·H)",
        **_WHOLE,
    ),
    _layer(
        "nystrom",
        "shortened:Nystrom",
        "softmax(q k̃ᵀ) softmax(q̃ k̃ᵀ)⁺ softmax(q̃ kᵀ) v with means q̃, k̃ of stretches of the text",
        Paper(
            "Xiong et al.",
            2021,
            "Nyströmformer: A Nyström-Based Algorithm for Approximating Self-Attention",
            "2102.03902",
        ),
        options={
            "landmarks": Option(64, "stretches", least=1),
            "iterations": Option(6, "of the pseudo-inverse", least=1),
            "convolution": Option(0, "odd width of a convolution of the values; 0: none", least=0),
        },
        cost="O(T·landmarks·H)",
        **_WHOLE,
    ),
)
