"""Comparisons: what a query and a key are to each other, in the place of scale·(q·k)."""

from attnjax.ops.comparisons.additive import additive, concat
from attnjax.ops.comparisons.base import Compared, Comparison, PairFunction, compare
from attnjax.ops.comparisons.bilinear import bilinear, general
from attnjax.ops.comparisons.combination import linear_combination
from attnjax.ops.comparisons.cosine import cosine
from attnjax.ops.comparisons.distance import l2, rbf
from attnjax.ops.comparisons.dot import dot, scaled_dot

__all__ = [
    "Compared",
    "Comparison",
    "PairFunction",
    "additive",
    "bilinear",
    "compare",
    "concat",
    "cosine",
    "dot",
    "general",
    "l2",
    "linear_combination",
    "rbf",
    "scaled_dot",
]
