"""The parts of a model, made as its config describes them."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from attnjax.config import require
from attnjax.mechanisms import Choice, over_layers, read
from attnjax.models.config import BlockConfig
from attnjax.nn import (
    Attention,
    AttentionResidual,
    DecoderBlock,
    Embedding,
    EncoderBlock,
    FeedForward,
    HeadNorm,
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
_BIASES: dict[str | None, Any] = {"all": True, "qkv": ("query", "key", "value"), "none": False}
_TURNS: dict[str, Any] = {
    "llama3": (positions.Llama3Scaling, "low_frequency_factor", "high_frequency_factor"),
    "yarn": (positions.YarnScaling, "beta_slow", "beta_fast"),
}
"""Scalings between slow and fast turns within the original length, and what they call these."""


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

    def embedding(self, vocab: int) -> Embedding:
        absolute: Any = self.config.positions if self.config.positions in ("sinusoidal", "learned") else None
        return Embedding(
            vocab,
            self.config.dim,
            positions=absolute,
            scale=self.config.embedding_scale,
            max_length=self.config.max_length,
            rngs=self.rngs,
            **self.dtypes,
        )

    def convolution(self, width: int) -> ShortConvolution:
        channels, param_dtype = {"embed": self.config.dim}, self.dtypes["param_dtype"]
        return ShortConvolution(channels, width=width, param_dtype=param_dtype, rngs=self.rngs)

    def norm(self) -> Any:
        eps = self.config.norm_eps
        return make_norm(self.config.norm, self.config.dim, eps=eps, rngs=self.rngs, **self.dtypes)

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
        layer = self._attention(Choice.of("softmax"))
        assert isinstance(layer, SoftmaxAttention)
        return layer

    def _rope(self) -> Any:
        config = self.config
        if config.positions not in _ROPE:
            return None
        layout = _ROPE[config.positions]
        rope = Rope(layout, config.rope_base, config.rope_fraction, self._scaling())
        return layout if rope == Rope(layout) else rope  # Alone it says the same, and reads well in an error.

    def _scaling(self) -> positions.RopeScaling | None:
        config = self.config
        if config.rope_scaling is None:
            return None
        if config.rope_scaling == "linear":
            return positions.LinearScaling(config.rope_factor)
        scaling, slow, fast = _TURNS[config.rope_scaling]
        turns = {slow: config.rope_slow_turns, fast: config.rope_fast_turns}
        return scaling(config.rope_factor, original_length=config.rope_original_length, **turns)

    def _attention(self, choice: Choice, *, rope: Any = None) -> Attention:
        config = self.config
        settings = {
            "kv_heads": config.kv_heads,
            "head_dim": config.head_dim,
            "bias": _BIASES[config.attention_bias],
            "qk_norm": HeadNorm(eps=config.norm_eps) if config.qk_norm else False,
            "rope": rope,
            "output_gate": config.output_gate,
            "rngs": self.rngs,
            **self.dtypes,
        }
        if choice.row.kind in ("softmax", "layer"):
            settings["implementation"] = config.implementation
        return make_attention(choice, config.dim, config.heads, **settings)

    def feed_forward(self) -> FeedForward:
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
        return Linear(
            self.config.dim,
            vocab,
            use_bias=bool(self.config.output_bias),
            preferred_element_type=jnp.float32,
            dot_general=flat_dot_general,
            kernel_metadata=named("embed", "vocab"),
            bias_metadata=named("vocab"),
            rngs=self.rngs,
            **self.dtypes,
        )
