"""Classic attention beyond one softmax of comparisons: what remembers, points, pools, or moves on only."""

from attnjax.ops.classic.coverage import Covered, coverage_attention, coverage_loss
from attnjax.ops.classic.local import around, local_attention
from attnjax.ops.classic.monotonic import monotonic_alignment, monotonic_attention
from attnjax.ops.classic.pointer import pointer_distribution, pointer_log_probs, pointer_loss
from attnjax.ops.classic.pooling import attentive_pooling, redundancy

__all__ = [
    "Covered",
    "around",
    "attentive_pooling",
    "coverage_attention",
    "coverage_loss",
    "local_attention",
    "monotonic_alignment",
    "monotonic_attention",
    "pointer_distribution",
    "pointer_log_probs",
    "pointer_loss",
    "redundancy",
]
