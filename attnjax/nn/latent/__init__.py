"""Relatives of softmax attention with projections, caches or weights of their own, one file each."""
