"""Floor 2: Flax NNX modules that compose ops."""

from attnjax.nn.attended import Attended, without_none
from attnjax.nn.attention import Attention
from attnjax.nn.axes import logical_axes, named
from attnjax.nn.blocks import DecoderBlock, EncoderBlock, Residual
from attnjax.nn.cache import KeysValues, KVCache, StateCache
from attnjax.nn.capture import Capture
from attnjax.nn.dot import flat_dot_general
from attnjax.nn.dropout import Dropout, folded
from attnjax.nn.embedding import Embedding
from attnjax.nn.feed_forward import FeedForward
from attnjax.nn.norm import make_norm
from attnjax.nn.position_score import PositionScore
from attnjax.nn.short_convolution import ShortConvolution

__all__ = [
    "Attended",
    "Attention",
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
