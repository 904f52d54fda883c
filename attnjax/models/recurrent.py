"""The encoder-decoder of recurrent networks, with attention or without."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Int

from attnjax.models.output import Captured, Encoded
from attnjax.models.padding import Present, inside, require_present
from attnjax.models.pointer_generator import PointerGenerator
from attnjax.models.recurrent_config import RecurrentConfig
from attnjax.models.recurrent_decoder import RecurrentDecoder, linear
from attnjax.models.recurrent_writer import RecurrentWriter, dropped
from attnjax.nn import Dropout, Embedding, folded
from attnjax.nn.cells import CELLS
from attnjax.nn.taps import Asked, tapped, within


class RecurrentEncoderDecoder(RecurrentWriter):
    """An encoder-decoder over token ids of LSTMs or GRUs.

    The encoder reads both ways; h_j are the states of its last layer, both directions side by side. The
    decoder's layers begin as W [→h_S; ←h_1] + b. With attention in Luong's order

        s_t = cells([E y_{t-1}; h̃_{t-1}], s_{t-1}),  c_t = attention(s_t, h),  h̃_t = tanh(W [c_t; s_t])

    and in Bahdanau's c_t = attention(s_{t-1}, h), s_t = cells([E y_{t-1}; c_t], s_{t-1}). Without attention
    h̃_t is tanh(W s_t), and all that the decoder knows of the source are the vectors that it begins with.
    Logits are W h̃_t + b. Its methods are those of `Transformer`; sources are padded on the right, and a
    capture gives the weights of attention as "decoder.cross_attention".

    Args:
      config: its shape.
      source_vocab, target_vocab: numbers of tokens.
      rngs: draws the parameters.

    Raises:
      ValueError: Tokens are copied, but source and target have other numbers of them.

    References:
      Sutskever et al., Sequence to Sequence Learning with Neural Networks, 2014, arXiv:1409.3215.
      Bahdanau et al., Neural Machine Translation by Jointly Learning to Align and Translate, 2014,
      arXiv:1409.0473.
      Luong et al., Effective Approaches to Attention-based Neural Machine Translation, 2015,
      arXiv:1508.04025 (h̃, input feeding).

    Example:
      >>> config = RecurrentConfig(dim=8, cell="gru", cross_mechanism="additive")
      >>> model = RecurrentEncoderDecoder(config, source_vocab=11, target_vocab=7, rngs=nnx.Rngs(0))
      >>> source, target = jnp.ones((2, 5), int), jnp.ones((2, 3), int)
      >>> model(source, jnp.array([5, 4]), target).logits.shape
      (2, 3, 7)
    """

    def __init__(
        self, config: RecurrentConfig, *, source_vocab: int, target_vocab: int, rngs: nnx.Rngs
    ) -> None:
        self.config = config
        dim, dtype = config.dim, jnp.dtype(config.param_dtype)
        options: dict[str, Any] = {"dtype": dtype, "param_dtype": dtype, "rngs": rngs}
        self.source_embedding = Embedding(source_vocab, dim, **options)
        self.target_embedding = Embedding(target_vocab, dim, **options)
        widths, make = [dim // 2] * config.layers, CELLS[config.cell]
        self.forward, self.backward = (
            nnx.List([make(dim, width, **options) for width in widths]) for _ in range(2)
        )
        self.decoder = RecurrentDecoder(config, **options)
        self.output = linear(dim, target_vocab, axis="vocab", preferred_element_type=jnp.float32, **options)
        sizes = {"source_vocab": source_vocab, "target_vocab": target_vocab}
        self.copying = PointerGenerator(dim, **sizes, **options) if config.copy else None

    def encode(
        self,
        source: Int[Array, "B S"],
        source_lengths: Present,
        *,
        dropout: Dropout | None = None,
        capture: Asked = None,
    ) -> Encoded:
        """Returns the source as vectors, which are 0 for its padding.

        Args:
          source: tokens.
          source_lengths: tokens of each source, or True where there is one.
          dropout: of each layer's input.
          capture: taps; the sites are source_embedding.tokens and, of each layer, "encoder.0.states".

        Raises:
          ValueError: Shapes do not fit, or taps name no site.
        """
        if source.ndim != 2:
            raise ValueError(f"source {list(source.shape)}: expected (B, S)")
        require_present("source_lengths", source_lengths, source.shape)
        there, dropout = inside(source_lengths, source.shape[1]), folded(dropout, "encoder")
        captured = Captured(capture, "encoder")
        x = self.source_embedding(source, taps=within(captured.sites, "source_embedding"))
        for i, (forward, backward) in enumerate(zip(self.forward, self.backward, strict=True)):
            x = dropped(x, folded(dropout, i))
            x = jnp.concatenate([forward.read(x, there), backward.read(x, there, reverse=True)], axis=-1)
            x = tapped(captured.sites, f"encoder.{i}.states", x)
        return Encoded(jnp.where(there[..., None], x, 0), {}, {}, captured.taps)
