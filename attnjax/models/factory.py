"""The parts of a model, made as its config describes them."""

from typing import Any

import jax.numpy as jnp
from flax import nnx

from attnjax.mechanisms import Choice, over_layers, read
from attnjax.models.config import BlockConfig
from attnjax.nn import (
    Attention,
    AttentionResidual,
    DecoderBlock,
    Embedding,
    EncoderBlock,
    FeedForward,
    PositionScore,
    Rope,
    ShortConvolution,
    SoftmaxAttention,
    flat_dot_general,
    make_attention,
    make_norm,
    named,
)
from attnjax.nn.joining import Linear
from attnjax.ops import positions

_ROPE: dict[str, Any] = {"rope": "halves", "rope_interleaved": "interleaved"}
_SCALINGS: dict[str, Any] = {
    "linear": lambda factor, original_length: positions.LinearScaling(factor),
    "llama3": positions.Llama3Scaling,
    "yarn": positions.YarnScaling,
}


class Parts:
    """A maker of the parts of a model as its config describes them, each with parameters of its own.

    Args:
      config: of the model.
      rngs: draws the parameters.
    """

    def __init__(self, config: BlockConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        self.rngs = rngs
        self.dtypes: dict[str, Any] = {
            "dtype": jnp.dtype(config.dtype),
            "param_dtype": jnp.dtype(config.param_dtype),
        }

    def embedding(self, vocab: int) -> Embedding:
        """Makes the embedding of a vocabulary, with absolute positions where the config has them."""
        absolute: Any = self.config.positions if self.config.positions in ("sinusoidal", "learned") else None
        return Embedding(
            vocab,
            self.config.dim,
            positions=absolute,
            max_length=self.config.max_length,
            rngs=self.rngs,
            **self.dtypes,
        )

    def convolution(self, width: int) -> ShortConvolution:
        """Makes a short convolution over the tokens."""
        channels, param_dtype = {"embed": self.config.dim}, self.dtypes["param_dtype"]
        return ShortConvolution(channels, width=width, param_dtype=param_dtype, rngs=self.rngs)

    def norm(self) -> Any:
        """Makes a norm."""
        return make_norm(self.config.norm, self.config.dim, rngs=self.rngs, **self.dtypes)

    def connection(self) -> Any:
        """Makes the norm of a residual connection, or the connection where it is by attention over depth."""
        norm = self.norm()
        if self.config.residual == "sum":
            return norm
        return AttentionResidual(norm, self.config.dim, param_dtype=self.dtypes["param_dtype"])

    def self_attention(self, layer: int, layers: int) -> Attention:
        """Makes the self-attention of layer 0, 1, … of so many."""
        choice = over_layers(read(self.config.mechanism), layers)[layer]
        of_model = {"layer": layer, "layers": layers, "max_length": self.config.max_length}
        return self._attention(choice.of_model(**of_model), rope=self._rope())

    def cross_attention(self) -> SoftmaxAttention:
        """Makes the attention of a decoder to the encoder."""
        layer = self._attention(Choice.of("softmax"))
        assert isinstance(layer, SoftmaxAttention)
        return layer

    def _rope(self) -> Any:
        config = self.config
        if config.positions not in _ROPE:
            return None
        layout, scaling = _ROPE[config.positions], None
        if config.rope_scaling is not None:
            scaling = _SCALINGS[config.rope_scaling](config.rope_factor, original_length=config.max_length)
        rope = Rope(layout, config.rope_base, config.rope_fraction, scaling)
        return layout if rope == Rope(layout) else rope  # Alone it says the same, and reads well in an error.

    def _attention(self, choice: Choice, *, rope: Any = None) -> Attention:
        config = self.config
        settings = {
            "kv_heads": config.kv_heads,
            "head_dim": config.head_dim,
            "bias": config.bias,
            "qk_norm": config.qk_norm,
            "rope": rope,
            "output_gate": config.output_gate,
            "rngs": self.rngs,
            **self.dtypes,
        }
        if choice.row.kind in ("softmax", "layer"):
            settings["implementation"] = config.implementation
        return make_attention(choice, config.dim, config.heads, **settings)

    def feed_forward(self) -> FeedForward:
        """Makes the feed-forward network of a block."""
        config = self.config
        return FeedForward(
            config.dim,
            config.hidden_dim,
            activation=config.activation,
            bias=config.bias,
            rngs=self.rngs,
            **self.dtypes,
        )

    def encoder_block(self, layer: int, layers: int) -> EncoderBlock:
        """Makes the block of layer 0, 1, … of so many."""
        own = self.self_attention(layer, layers)
        return EncoderBlock(own, self.feed_forward(), self.connection, self.config.norm_placement)

    def decoder_block(self, layer: int, layers: int) -> DecoderBlock:
        """Makes the block of layer 0, 1, … of so many."""
        own, cross = self.self_attention(layer, layers), self.cross_attention()
        return DecoderBlock(own, cross, self.feed_forward(), self.connection, self.config.norm_placement)

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

    def output(self, vocab: int) -> Linear:
        """Makes the projection to the logits."""
        return Linear(
            self.config.dim,
            vocab,
            use_bias=self.config.bias,
            preferred_element_type=jnp.float32,
            dot_general=flat_dot_general,
            kernel_metadata=named("embed", "vocab"),
            bias_metadata=named("vocab"),
            rngs=self.rngs,
            **self.dtypes,
        )
