"""Masks: which query attends which key. True = attend; they compose with `&`, `|`, `~`.

Positions: query i stands at i + offset (offset = the number of cached keys when decoding), key j at j.
"""

from attnjax.ops.masks.base import Mask
from attnjax.ops.masks.block_maps import blocks
from attnjax.ops.masks.chosen import chosen_blocks
from attnjax.ops.masks.content import dense, lengths, predicate, segments
from attnjax.ops.masks.global_tokens import global_tokens
from attnjax.ops.masks.intervals import interval
from attnjax.ops.masks.positional import causal, prefix, sliding_window
from attnjax.ops.masks.random_blocks import random_blocks
from attnjax.ops.masks.relabelled import relabel
from attnjax.ops.masks.repeating import block_diagonal, chunked_causal, dilated
from attnjax.ops.masks.spatial import neighborhood

__all__ = [
    "Mask",
    "block_diagonal",
    "blocks",
    "causal",
    "chosen_blocks",
    "chunked_causal",
    "dense",
    "dilated",
    "global_tokens",
    "interval",
    "lengths",
    "neighborhood",
    "predicate",
    "prefix",
    "random_blocks",
    "relabel",
    "segments",
    "sliding_window",
]
