"""Score modifications: what happens to scale·(q·k) before the mask and the normaliser."""

from attnjax.ops.scores.adaptive_span import adaptive_span
from attnjax.ops.scores.alibi import alibi
from attnjax.ops.scores.base import Score, flatten
from attnjax.ops.scores.forget_gate import forget_gate
from attnjax.ops.scores.pair_bias import PairBias, pair_bias
from attnjax.ops.scores.relative_bias import relative_bias
from attnjax.ops.scores.score_fn import score_fn
from attnjax.ops.scores.softcap import softcap

__all__ = [
    "PairBias",
    "Score",
    "adaptive_span",
    "alibi",
    "flatten",
    "forget_gate",
    "pair_bias",
    "relative_bias",
    "score_fn",
    "softcap",
]
