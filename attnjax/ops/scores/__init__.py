"""Score modifications: what happens to scale·(q·k) before the mask and the normaliser."""

from attnjax.ops.scores.base import (
    PairBias,
    Score,
    alibi,
    flatten,
    forget_gate,
    pair_bias,
    relative_bias,
    score_fn,
    softcap,
)

__all__ = [
    "PairBias",
    "Score",
    "alibi",
    "flatten",
    "forget_gate",
    "pair_bias",
    "relative_bias",
    "score_fn",
    "softcap",
]
