"""Choices of what attention looks at, made at run time from queries and keys; pure functions of arrays."""

from attnjax.ops.sparse.buckets import bucket_tokens, lsh_buckets, nearest_centroids, routing_loss
from attnjax.ops.sparse.dsa import dsa_tokens, index_scores, indexer_loss
from attnjax.ops.sparse.moba import moba_blocks
from attnjax.ops.sparse.nsa import nsa_blocks
from attnjax.ops.sparse.nystrom import nystrom_attention

__all__ = [
    "bucket_tokens",
    "dsa_tokens",
    "index_scores",
    "indexer_loss",
    "lsh_buckets",
    "moba_blocks",
    "nearest_centroids",
    "nsa_blocks",
    "nystrom_attention",
    "routing_loss",
]
