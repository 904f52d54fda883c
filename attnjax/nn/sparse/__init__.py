"""Layers of self-attention that choose at run time what they look at, or make few keys of many."""

from attnjax.nn.sparse.buckets import LSH, Routing
from attnjax.nn.sparse.dsa import DSA
from attnjax.nn.sparse.moba import MoBA
from attnjax.nn.sparse.nsa import NSA
from attnjax.nn.sparse.shortened import Linformer, Nystrom

__all__ = ["DSA", "LSH", "NSA", "Linformer", "MoBA", "Nystrom", "Routing"]
