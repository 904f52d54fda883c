"""Normalisers: from scores (-inf where masked) to weights. Only softmax has a log-sum-exp."""

from attnjax.ops.normalizers.base import Normalizer, Sums, finite
from attnjax.ops.normalizers.cog import cog
from attnjax.ops.normalizers.entmax import entmax
from attnjax.ops.normalizers.sigmoid import sigmoid
from attnjax.ops.normalizers.silu import silu
from attnjax.ops.normalizers.softmax import Softmax, softmax
from attnjax.ops.normalizers.sparsemax import sparsemax
from attnjax.ops.normalizers.squared_relu import squared_relu
from attnjax.ops.normalizers.stick_breaking import stick_breaking
from attnjax.ops.normalizers.talking_heads import talking_heads
from attnjax.ops.normalizers.top_k import top_k

__all__ = [
    "Normalizer",
    "Softmax",
    "Sums",
    "cog",
    "entmax",
    "finite",
    "sigmoid",
    "silu",
    "softmax",
    "sparsemax",
    "squared_relu",
    "stick_breaking",
    "talking_heads",
    "top_k",
]
