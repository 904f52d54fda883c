"""The captioner of Show, Attend and Tell: a recurrent network writes what it reads of an image."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from attnjax.models.captioner import ImageEmbedding, ImageReader
from attnjax.models.captioner_config import CaptionerConfig
from attnjax.models.factory import Parts
from attnjax.models.recurrent_config import RecurrentConfig
from attnjax.models.recurrent_decoder import RecurrentDecoder, linear
from attnjax.models.recurrent_writer import RecurrentWriter


class GatedDecoder(RecurrentDecoder):
    """The layers between the embedded caption and its logits: see `RecurrentCaptioner`.

    Args:
      config: of the decoder, with Bahdanau's order.
      options: dtype, param_dtype and rngs.
    """

    def __init__(self, config: RecurrentConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self.gate = linear(config.dim, 1, **options)

    def _starts(
        self, memory: Float[Array, "B S D"], there: Bool[Array, "B S"]
    ) -> list[Float[Array, "B kept*D"]]:
        """Returns the state that each layer begins with, of the mean of the vectors that are there."""
        seen = there[..., None]
        count = jnp.maximum(seen.sum(1), 1).astype(memory.dtype)
        mean = jnp.where(seen, memory, 0).sum(1) / count
        return [jnp.tanh(bridge(mean)) for bridge in self.bridge]

    def _given(self, x: Float[Array, "B D"], known: Float[Array, "B K"]) -> Float[Array, "B D"]:
        """Returns what the logits are made of: the last word counts as much as what it led to."""
        return x + self.joined(known)

    def _gated(self, state: Float[Array, "B D"], context: Float[Array, "B D"]) -> Float[Array, "B D"]:
        """Returns what attention reads, times its gate."""
        gated: Array = jax.nn.sigmoid(self.gate(state)) * context
        return gated


class RecurrentCaptioner(ImageReader, RecurrentWriter):
    """An LSTM or GRU that writes what an image shows, and reads its vectors a_i by soft attention.

    With h_{t-1} of the last of its cells, at first tanh(W mean_i a_i + b) as all of their states,

        α_t = softmax_i(score(h_{t-1}, a_i)),  z_t = β_t Σ_i α_ti a_i,  β_t = σ(w·h_{t-1} + b)
        h_t = cells([E y_{t-1}; z_t], h_{t-1}),  logits = W (E y_{t-1} + L_h h_t + L_z z_t) + b

    where the score is v·tanh(W_h h + b + W_a a) for `cross_mechanism="additive"`, as in the paper. The a_i
    come from the encoder of `Captioner`: blocks, patches or, as in the paper, convolutions.
    Its methods are those of `RecurrentEncoderDecoder`: a capture gives α as "decoder.cross_attention".

    Args:
      config: its shape, with the decoder lstm or gru.
      target_vocab: the number of tokens of captions.
      rngs: draws the parameters.

    Raises:
      ValueError: The config has a decoder of blocks.

    References:
      Xu et al., Show, Attend and Tell, 2015, arXiv:1502.03044 (soft attention, equations 1 to 7 and 14; E y
      and h have one width, and the tanh of the first states is of the authors' code).

    Example:
      >>> config = CaptionerConfig(
      ...     dim=8, image=8, patch=4, encoder_layers=0, stem="convolution", decoder="lstm",
      ...     cross_mechanism="additive",
      ... )
      >>> model = RecurrentCaptioner(config, target_vocab=7, rngs=nnx.Rngs(0))
      >>> images, captions = jnp.ones((2, 8, 12, 3)), jnp.ones((2, 3), int)
      >>> model(images, jnp.array([6, 6]), captions).logits.shape
      (2, 3, 7)
    """

    config: CaptionerConfig

    def __init__(self, config: CaptionerConfig, *, target_vocab: int, rngs: nnx.Rngs) -> None:
        recurrent = config.recurrent
        if recurrent is None:
            raise ValueError(f"config.decoder {config.decoder!r}: expected lstm or gru, Captioner has blocks")
        self.config = config
        parts, layers = Parts(config, rngs), config.encoder_layers
        self.source_embedding = ImageEmbedding(config, parts)
        self.encoder = parts.stack(lambda i: parts.encoder_block(i, layers), layers)
        self.encoder_score = parts.position_score(bidirectional=True)
        self.encoder_norm = parts.read_out()
        self.target_embedding = parts.embedding(target_vocab)
        self.decoder = GatedDecoder(recurrent, **parts.dtypes, rngs=rngs)
        self.output = parts.output(target_vocab)
        self.copying = None
