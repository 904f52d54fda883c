"""Normalisers: from scores (-inf where masked) to weights. Only softmax has a log-sum-exp."""

from attnjax.ops.normalizers.base import (
    Normalizer,
    Softmax,
    Sums,
    entmax,
    finite,
    sigmoid,
    softmax,
    sparsemax,
)

__all__ = ["Normalizer", "Softmax", "Sums", "entmax", "finite", "sigmoid", "softmax", "sparsemax"]
