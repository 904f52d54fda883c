"""Encodings of positions: sinusoids, rotations, ALiBi slopes, T5 buckets, as functions of integers.

Learned positions are parameters and live in `attnjax.nn`.
"""

from attnjax.ops.positions.alibi import alibi_slopes
from attnjax.ops.positions.buckets import relative_buckets
from attnjax.ops.positions.rope import rope
from attnjax.ops.positions.scaling import (
    DynamicNTKScaling,
    LinearScaling,
    Llama3Scaling,
    RopeScaling,
    YarnScaling,
)
from attnjax.ops.positions.sinusoidal import sinusoidal

__all__ = [
    "DynamicNTKScaling",
    "LinearScaling",
    "Llama3Scaling",
    "RopeScaling",
    "YarnScaling",
    "alibi_slopes",
    "relative_buckets",
    "rope",
    "sinusoidal",
]
