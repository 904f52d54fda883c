"""Floor 2: Flax NNX modules that compose ops."""

from attnjax.nn.attention.base import Attention
from attnjax.nn.attention.cache import KeysValues, KVCache, StateCache
from attnjax.nn.attention.capture import Capture
from attnjax.nn.attention.composed import ComposedAttention
from attnjax.nn.attention.depth import Depth
from attnjax.nn.attention.make import make_attention
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.position_score import PositionScore
from attnjax.nn.attention.recurrent import RecurrentAttention
from attnjax.nn.attention.settings import Convolution, HeadNorm, OutputGate, Rope
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.nn.attention.window_cache import WindowKVCache
from attnjax.nn.axes import logical_axes, named
from attnjax.nn.blocks import BlockOutput, DecoderBlock, EncoderBlock
from attnjax.nn.dot import flat_dot_general
from attnjax.nn.dropout import Dropout, folded
from attnjax.nn.dynamic.mixture_of_attention import MixtureOfAttention
from attnjax.nn.dynamic.mixture_of_depths import MixtureOfDepths
from attnjax.nn.embedding import Embedding
from attnjax.nn.expert_routing import ExpertRouting
from attnjax.nn.feed_forward import FeedForward
from attnjax.nn.latent.attention_residual import AttentionResidual
from attnjax.nn.latent.deltaformer import DeltaFormerAttention
from attnjax.nn.latent.differential import DifferentialAttention
from attnjax.nn.latent.hstu import HSTUAttention
from attnjax.nn.latent.mla import LatentAttention
from attnjax.nn.latent.multi_token import MultiTokenAttention
from attnjax.nn.latent.path import PathAttention
from attnjax.nn.latent.selective import SelectiveAttention
from attnjax.nn.latent.tensor_product import TensorProductAttention
from attnjax.nn.latent.value_residual import ValueResidualAttention
from attnjax.nn.layer_scale import LayerScale
from attnjax.nn.moe import MixtureOfExperts
from attnjax.nn.norm import make_norm
from attnjax.nn.residual import Residual
from attnjax.nn.short_convolution import ShortConvolution
from attnjax.nn.sparse import DSA, LSH, NSA, Linformer, MoBA, Nystrom, Routing
from attnjax.nn.taps import Sites, Taps

__all__ = [
    "DSA",
    "LSH",
    "NSA",
    "Attention",
    "AttentionOutput",
    "AttentionResidual",
    "BlockOutput",
    "Capture",
    "ComposedAttention",
    "Convolution",
    "DecoderBlock",
    "DeltaFormerAttention",
    "Depth",
    "DifferentialAttention",
    "Dropout",
    "Embedding",
    "EncoderBlock",
    "ExpertRouting",
    "FeedForward",
    "HSTUAttention",
    "HeadNorm",
    "KVCache",
    "KeysValues",
    "LatentAttention",
    "LayerScale",
    "Linformer",
    "MixtureOfAttention",
    "MixtureOfDepths",
    "MixtureOfExperts",
    "MoBA",
    "MultiTokenAttention",
    "Nystrom",
    "OutputGate",
    "PathAttention",
    "PositionScore",
    "RecurrentAttention",
    "Residual",
    "Rope",
    "Routing",
    "SelectiveAttention",
    "ShortConvolution",
    "Sites",
    "SoftmaxAttention",
    "StateCache",
    "Taps",
    "TensorProductAttention",
    "ValueResidualAttention",
    "WindowKVCache",
    "flat_dot_general",
    "folded",
    "logical_axes",
    "make_attention",
    "make_norm",
    "named",
]
