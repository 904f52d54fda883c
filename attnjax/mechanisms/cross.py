"""Layers across modalities: what reads a context of another width, and what pools a set."""

from typing import Any

from attnjax.mechanisms.base import Layer, Paper
from attnjax.mechanisms.option import Option

_CONTEXT = {"context_dim": Option(None, "width of the context; None: D", least=1)}
_EXPANSION = {"expansion": Option(4, "width of the feed-forward layers, in D", least=1)}
_FLAMINGO = Paper(
    "Alayrac et al.", 2022, "Flamingo: a Visual Language Model for Few-Shot Learning", "2204.14198"
)
_SETS = Paper(
    "Lee et al.",
    2019,
    "Set Transformer: A Framework for Attention-based Permutation-Invariant Neural Networks",
    "1810.00825",
)


def _row(name: str, made: str, formula: str, paper: Paper, **fields: Any) -> Layer:
    target = made if ":" in made else f"attnjax.nn.cross:{made}"
    return Layer(name=name, target=target, formula=formula, paper=paper, streaming=False, **fields)


ROWS = (
    _row(
        "cross",
        "attnjax.nn.attention.softmax:SoftmaxAttention",
        "o_t = Σ_s softmax_s(q_t·k_s/√H) v_s, k and v of a context",
        Paper("Vaswani et al.", 2017, "Attention Is All You Need", "1706.03762"),
        takes="context",
        cost="O(T·S·H)",
        options={
            **_CONTEXT,
            "values_dim": Option(None, "width of the source of values; None: that of the context", least=1),
        },
    ),
    _row(
        "co_attention",
        "CoAttention",
        "x reads the context and the context reads x, each by attention of its own",
        Paper(
            "Lu et al.",
            2019,
            "ViLBERT: Pretraining Task-Agnostic Visiolinguistic Representations for Vision-and-Language "
            "Tasks",
            "1908.02265",
        ),
        takes="context",
        cost="O(T·S·H)",
        options=_CONTEXT,
    ),
    _row(
        "gated_cross",
        "GatedCrossAttention",
        "y = x + tanh(a)·attention(norm(x), context); y + tanh(b)·feed_forward(norm(y)); a, b from 0",
        _FLAMINGO,
        takes="context",
        cost="O(T·S·H)",
        options=_CONTEXT | _EXPANSION,
    ),
    _row(
        "bilinear_attention",
        "BilinearAttention",
        "Σ_ts A_ts (x_t U') ⊙ (y_s V'), A = softmax over all pairs of p·(ReLU(x_t U) ⊙ ReLU(y_s V))",
        Paper("Kim et al.", 2018, "Bilinear Attention Networks", "1805.07932"),
        takes="context",
        cost="O(T·S·rank)",
        options={**_CONTEXT, "rank": Option(None, "length of p; None: D", least=1)},
    ),
    _row(
        "perceiver_resampler",
        "PerceiverResampler",
        "l + attention(l̂, [x̂, l̂]), then + feed_forward, of learned vectors l, layer after layer",
        _FLAMINGO,
        takes="pool",
        cost="O(layers·latents·(S + latents)·H)",
        has_weights=False,
        options={
            "latents": Option(64, "vectors", least=1),
            "layers": Option(2, "layers", least=1),
            **_EXPANSION,
        },
    ),
    _row(
        "q_former",
        "QFormer",
        "learned queries under self-attention and, in every k-th block, attention to the set",
        Paper(
            "Li et al.",
            2023,
            "BLIP-2: Bootstrapping Language-Image Pre-training with Frozen Image Encoders and Large Language "
            "Models",
            "2301.12597",
        ),
        takes="pool",
        cost="O(layers·queries·(queries + S)·H)",
        has_weights=False,
        options={
            "queries": Option(32, "queries", least=1),
            "layers": Option(2, "blocks", least=1),
            "every": Option(2, "k, from one block that reads the set to the next", least=1),
            **_CONTEXT,
            **_EXPANSION,
        },
    ),
    _row(
        "slot_attention",
        "SlotAttention",
        "a_ks = softmax_k(q_k·k_s/√D); slots = GRU(Σ_s a_ks v_s / Σ_s a_ks, slots), round after round",
        Paper("Locatello et al.", 2020, "Object-Centric Learning with Slot Attention", "2006.15055"),
        takes="pool",
        cost="O(iterations·slots·S·D)",
        options={
            "slots": Option(7, "slots", least=1),
            "iterations": Option(3, "rounds", least=1),
            **_CONTEXT,
            "learned": Option(False, "each slot starts at a vector of its own, not at random", "bool"),
        },
    ),
    _row(
        "isab",
        "ISAB",
        "MAB(x, MAB(i, x)) of learned vectors i; MAB(x, y) is a block that attends from x to y",
        _SETS,
        cost="O(T·inducing·H)",
        two_sided_only=True,
        packs=False,
        has_weights=False,
        options={"inducing": Option(16, "learned vectors", least=1)},
    ),
    _row(
        "pma",
        "PMA",
        "MAB(seeds, feed_forward(x)) of learned seeds",
        _SETS,
        takes="pool",
        cost="O(seeds·S·H)",
        has_weights=False,
        options={"seeds": Option(1, "learned vectors", least=1)},
    ),
)
