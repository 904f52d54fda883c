"""Layers of self-attention that choose at run time what they look at."""

from attnjax.nn.sparse.dsa import DSA
from attnjax.nn.sparse.moba import MoBA
from attnjax.nn.sparse.nsa import NSA

__all__ = ["DSA", "NSA", "MoBA"]
