"""Losses and rankings over a catalogue of items, without an array of all places and all items."""

from attnjax.ops.items.cross_entropy import item_cross_entropy
from attnjax.ops.items.negatives import binary_loss, sampled_softmax_loss
from attnjax.ops.items.ranking import RankedItems, rank_chunks, rank_items

__all__ = [
    "RankedItems",
    "binary_loss",
    "item_cross_entropy",
    "rank_chunks",
    "rank_items",
    "sampled_softmax_loss",
]
