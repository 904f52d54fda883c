"""Floor 2: Flax NNX modules that compose ops."""

from attnjax.nn.attention.cache import KeysValues, KVCache, StateCache
from attnjax.nn.attention.capture import Capture
from attnjax.nn.attention.layer import Attention
from attnjax.nn.attention.output import AttentionOutput, without_none
from attnjax.nn.attention.position_score import PositionScore
from attnjax.nn.axes import logical_axes, named
from attnjax.nn.blocks import DecoderBlock, EncoderBlock, Residual
from attnjax.nn.dot import flat_dot_general
from attnjax.nn.dropout import Dropout, folded
from attnjax.nn.embedding import Embedding
from attnjax.nn.feed_forward import FeedForward
from attnjax.nn.norm import make_norm
from attnjax.nn.short_convolution import ShortConvolution

__all__ = [
    "Attention",
    "AttentionOutput",
    "Capture",
    "DecoderBlock",
    "Dropout",
    "Embedding",
    "EncoderBlock",
    "FeedForward",
    "KVCache",
    "KeysValues",
    "PositionScore",
    "Residual",
    "ShortConvolution",
    "StateCache",
    "flat_dot_general",
    "folded",
    "logical_axes",
    "make_norm",
    "named",
    "without_none",
]
