"""The parts of a model, made as its config describes them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from attnjax.config import InputError, require
from attnjax.mechanisms import Choice, over_layers, read
from attnjax.mechanisms.base import SENTENCES, Takes
from attnjax.models.block_config import ABSOLUTE, BlockConfig
from attnjax.models.checks import PLAIN_POOLING
from attnjax.models.rope import rope_of
from attnjax.models.scanned import stack_of
from attnjax.nn import (
    Attention,
    AttentionResidual,
    DecoderBlock,
    Embedding,
    EncoderBlock,
    FeedForward,
    HeadNorm,
    LayerScale,
    MixtureOfExperts,
    PositionScore,
    Residual,
    ShortConvolution,
    flat_dot_general,
    make_attention,
    make_norm,
    named,
)
from attnjax.nn.attention.disentangled import DisentangledAttention, DistanceTable
from attnjax.nn.convolution_stem import ConvolutionStem
from attnjax.nn.cross.gate import CrossGate
from attnjax.nn.frames import FrameEmbedding
from attnjax.nn.joining import Linear
from attnjax.nn.layouts import GraphLayer, ImageLayer
from attnjax.nn.patches import Patches
from attnjax.nn.pooling import Pool
from attnjax.ops.core.dtypes import accumulation_dtype

_BIASES: dict[str | None, Any] = {
    "all": True,
    "qkv": ("query", "key", "value"),
    "out": ("out",),
    "no_key": ("query", "value", "out"),
    "none": False,
}

_LAID_OUT: dict[Takes, Any] = {"image": ImageLayer, "graph": GraphLayer}
"""The modules that give a layer in a block what it is called with."""


class Parts:
    """A maker of the parts of a model as its config describes them, each with parameters of its own.

    Args:
      config: of the model.
      rngs: draws the parameters.
    """

    def __init__(self, config: BlockConfig, rngs: nnx.Rngs) -> None:
        self.config = config.filled()
        self.rngs = rngs
        for name in ("dtype", "param_dtype"):
            given = getattr(config, name)
            require(
                jax.dtypes.canonicalize_dtype(given) == given,
                f"model.{name} is {given!r}: it needs jax_enable_x64",
            )
        self.dtypes: dict[str, Any] = {
            "dtype": jnp.dtype(config.dtype),
            "param_dtype": jnp.dtype(config.param_dtype),
        }

    def embedding(self, vocab: int | None, *, types: int = 0, width: int | None = None) -> Embedding:
        """Makes the embedding of a vocabulary, with absolute positions where the config has them."""
        config = self.config
        absolute: Any = config.positions if config.positions in ABSOLUTE else None
        return Embedding(
            vocab,
            config.dim,
            positions=absolute,
            max_length=config.max_length,
            first_position=config.first_position,
            scale=config.embedding_scale,
            types=types,
            width=width,
            make_norm=self.norm if config.embedding_norm else None,
            rngs=self.rngs,
            **self.dtypes,
        )

    def frames(self) -> FrameEmbedding:
        """Makes the embedding of frames of sound."""
        config: Any = self.config
        sizes = {"max_length": config.max_vectors, "rngs": self.rngs}
        return FrameEmbedding(config.frames, config.dim, **sizes, **self.dtypes)

    def patches(self) -> Patches | ConvolutionStem:
        """Makes what turns an image into a grid of vectors."""
        config: Any = self.config
        sizes, options = (config.patch, config.channels, config.dim), {"rngs": self.rngs, **self.dtypes}
        if config.stem != "patches":
            return ConvolutionStem(*sizes, config.stem, **options)
        return Patches(*sizes, use_bias=getattr(config, "patch_bias", True), **options)

    def convolution(self, width: int) -> ShortConvolution:
        """Makes a short convolution over the tokens."""
        channels, param_dtype = {"embed": self.config.dim}, self.dtypes["param_dtype"]
        return ShortConvolution(channels, width=width, param_dtype=param_dtype, rngs=self.rngs)

    def norm(self, size: int | None = None) -> Any:
        """Makes a norm of vectors of the model's size, or of the given one."""
        size = self.config.dim if size is None else size
        return make_norm(self.config.norm, size, eps=self.config.norm_eps, rngs=self.rngs, **self.dtypes)

    def connection(self) -> Any:
        """Makes the norm of a residual connection, or the connection where it is not plain."""
        norm, config, param_dtype = self.norm(), self.config, self.dtypes["param_dtype"]
        if config.residual == "attention":
            return AttentionResidual(norm, config.dim, param_dtype=param_dtype)
        if config.layer_scale is not None:
            scale = LayerScale(config.dim, config.layer_scale, param_dtype=param_dtype)
            after = self.norm() if config.norm_placement == "sandwich" else None
            return Residual(norm, config.norm_placement, scale, after)
        return norm

    def read_out(self) -> Any:
        """Makes what reads the sum of all layers: a norm where those of layers come before them, or none."""
        if self.config.norm_placement == "post":
            return None
        return self.norm() if self.config.residual == "sum" else self.connection()

    def self_attention(self, layer: int, layers: int) -> Attention:
        """Makes the self-attention of layer 0, 1, … of so many."""
        choice = over_layers(read(self.config.mechanism), layers)[layer]
        of_model = {"layer": layer, "layers": layers, "max_length": self.config.max_length}
        return self._attention(choice.of_model(**of_model), rope=rope_of(self.config, choice))

    def cross_attention(self, mechanism: str, layer: int, layers: int) -> Any:
        """Makes the attention of layer 0, 1, … of so many to a context."""
        choice = over_layers(read(mechanism), layers)[layer]
        of_model = {"layer": layer, "layers": layers, "max_length": self.config.max_length}
        return self._attention(choice.of_model(**of_model), field="cross_mechanism")

    def _head_norm(self) -> HeadNorm | bool:
        config = self.config
        if not config.qk_norm:
            return False
        if config.qk_norm_groups is not None:
            return HeadNorm(groups=config.qk_norm_groups, gain="each", eps=config.norm_eps)
        norm = HeadNorm("rms_offset" if config.norm == "rms_offset" else "rms", eps=config.norm_eps)
        return True if norm == HeadNorm() else norm  # It says the same, and reads well in an error.

    def _attention(self, choice: Choice, *, rope: Any = None, field: str = "mechanism") -> Attention:
        config = self.config
        settings = {
            # None where it says nothing new: a layer of one's own need not take it.
            "kv_heads": None if config.kv_heads == config.heads else config.kv_heads,
            "head_dim": None if config.head_dim == config.dim // config.heads else config.head_dim,
            "value_dim": None if config.value_dim == config.head_dim else config.value_dim,
            "bias": _BIASES[config.attention_bias],
            "qk_norm": self._head_norm(),
            "rope": rope,
            "output_gate": config.output_gate,
            "rngs": self.rngs,
            **self.dtypes,
        }
        if config.attention_scale is not None:
            settings["scale"] = config.attention_scale
        if choice.row.kind in ("softmax", "layer"):
            settings["implementation"] = config.implementation
        made = self.made(choice, field, config.heads, **settings)
        for name in ("remat", "scan_layers"):
            require(
                not (getattr(config, name) and getattr(made, "reads_depth", False)),
                f"model.{name} is True: {choice.row.name} reads what the layers below left, which is kept",
            )
        laid_out = _LAID_OUT.get(choice.row.takes)
        return made if laid_out is None else laid_out(made)

    def made(self, choice: Choice, field: str, heads: int, **settings: Any) -> Any:
        """Makes the layer of a choice. Raises InputError, by its field, where what is asked does not fit."""
        try:
            return make_attention(choice, self.config.dim, heads, **settings)
        except InputError:
            raise
        except ValueError as error:
            if any(part.row.place for part in choice.parts):
                raise  # Of a user's own code the traceback shows where.
            raise InputError(f"model.{field} is {str(choice)!r}: {error}") from error

    def pool(self, pooling: str) -> Pool | None:
        """Makes the pool of tokens; None where the pooling is no mechanism, but a token or the mean."""
        if pooling in PLAIN_POOLING:
            return None
        choice = read(pooling)[0].of_model(layer=0, layers=1, max_length=self.config.max_length)
        heads = 1 if choice.row.name == SENTENCES else self.config.heads  # One query in the paper.
        layer = self.made(choice, "pooling", heads, rngs=self.rngs, **self.dtypes)
        param_dtype, reads = self.dtypes["param_dtype"], choice.row.takes == "context"
        return Pool(layer, self.config.dim, reads=reads, param_dtype=param_dtype, rngs=self.rngs)

    def feed_forward(self, layer: int) -> FeedForward | MixtureOfExperts:
        """Makes the feed-forward layer of block 0, 1, …, all of which are alike."""
        config = self.config
        options: dict[str, Any] = {"activation": config.activation, "bias": config.bias, "rngs": self.rngs}
        options |= self.dtypes
        if config.experts is None:
            return FeedForward(config.dim, config.hidden_dim, **options)
        options |= {"experts": config.experts, "active": config.active_experts}
        return MixtureOfExperts(config.dim, config.hidden_dim, **options)

    def stack(self, make: Callable[[int], nnx.Module], layers: int) -> Any:
        """Makes the blocks of layers 0, 1, …, by a function of the layer."""
        return stack_of([make(layer) for layer in range(layers)], self.config.scan_layers)

    def encoder_block(self, layer: int, layers: int, *, disentangled: bool = False) -> EncoderBlock:
        """Makes the block of layer 0, 1, … of so many; attention may be disentangled."""
        own = self._disentangled() if disentangled else self.self_attention(layer, layers)
        config = self.config
        return EncoderBlock(
            own, self.feed_forward(layer), self.connection, config.norm_placement, parallel=config.parallel
        )

    def decoder_block(self, layer: int, layers: int, *, cross_mechanism: str = "softmax") -> DecoderBlock:
        """Makes the block of layer 0, 1, … of so many."""
        own = self.self_attention(layer, layers)
        cross = self.cross_attention(cross_mechanism, layer, layers)
        if getattr(self.config, "cross_gate", False):
            cross = CrossGate(cross, param_dtype=self.dtypes["param_dtype"])
        return DecoderBlock(own, cross, self.feed_forward(layer), self.connection, self.config.norm_placement)

    def _disentangled(self) -> DisentangledAttention:
        config = self.config
        return DisentangledAttention(
            config.dim,
            config.heads,
            head_dim=config.head_dim,
            kv_heads=config.kv_heads,
            bias=_BIASES[config.attention_bias],
            scale=config.attention_scale,
            implementation=config.implementation,
            rngs=self.rngs,
            **self.dtypes,
        )

    def distances(self, buckets: int | None) -> DistanceTable | None:
        """Makes the table of distances of disentangled attention, where it has buckets."""
        if buckets is None:
            return None
        config = self.config
        return DistanceTable(
            config.dim, buckets, config.max_length, eps=config.norm_eps, rngs=self.rngs, **self.dtypes
        )

    def position_score(self, *, bidirectional: bool) -> PositionScore | None:
        """Makes the score of relative positions; None where the config has none."""
        kind: Any = self.config.positions
        if kind not in ("alibi", "t5"):
            return None
        return PositionScore(
            kind,
            self.config.heads,
            bidirectional=bidirectional,
            param_dtype=self.dtypes["param_dtype"],
            rngs=self.rngs,
        )

    def dense(self, size: int, inputs: int | None = None) -> Linear:
        """Makes a linear map of the model's vectors, or of others, with a bias whatever the layers have."""
        return self._linear(self.config.dim if inputs is None else inputs, size, "embed", use_bias=True)

    def into_common(self, width: int) -> Linear:
        """Makes the map of vectors into a space that several models share."""
        return self._linear(self.config.dim, width, "common", use_bias=False)

    def output(self, vocab: int, size: int | None = None) -> Linear:
        """Makes the map of vectors, of the model's size or the given one, to logits, in float32 or better."""
        return self._linear(
            self.config.dim if size is None else size,
            vocab,
            "vocab",
            use_bias=bool(self.config.output_bias),
            preferred_element_type=accumulation_dtype(jnp.dtype(self.config.dtype)),
        )

    def learned(self, *shape: int, axes: tuple[str, ...] = ()) -> nnx.Param:
        """Makes learned vectors of the model's size, of the given shape, each near 0."""
        start = 0.02 * jax.random.normal(self.rngs.params(), (*shape, self.config.dim))
        return nnx.Param(start.astype(self.dtypes["param_dtype"]), **named(*axes, "embed"))

    def bias(self, vocab: int) -> nnx.Param:
        """Makes a bias of logits, which starts at 0."""
        return nnx.Param(jnp.zeros((vocab,), self.dtypes["param_dtype"]), **named("vocab"))

    def _linear(self, inputs: int, outputs: int, axis: str, **options: Any) -> Linear:
        return Linear(
            inputs,
            outputs,
            dot_general=flat_dot_general,
            kernel_metadata=named("embed", axis),
            bias_metadata=named(axis),
            rngs=self.rngs,
            **self.dtypes,
            **options,
        )
