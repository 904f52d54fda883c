"""The source positions that each emitted token attends to."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.models.encoder_decoder import Transformer
from attnjax.models.output import Weights
from attnjax.models.recurrent import RecurrentEncoderDecoder
from attnjax.nn import Capture


def alignment(
    model: Transformer | RecurrentEncoderDecoder,
    source: Int[Array, "B S"],
    source_lengths: Int[Array, " B"],
    tokens: Int[Array, "B L"],
    *,
    bos: int,
    layers: tuple[int, ...] | None = None,
    heads: tuple[int, ...] | None = None,
) -> Float[Array, "B L S"]:
    """Returns the mean of cross-attention from each emitted token to each source position.

    The tokens are fed back (teacher forcing), so that those of `generate` give its own weights. Rows sum
    to 1; those after the end mean nothing.

    Args:
      model: the encoder-decoder.
      source: the tokens that the model read.
      source_lengths: the tokens of each of them, without padding.
      tokens: the tokens that the model emitted.
      bos: the token that begins a row.
      layers: the decoder's layers over which the mean is; None: all.
      heads: the heads over which the mean is; None: all.

    Raises:
      ValueError: Shapes do not fit, or layers or heads are out of range.

    Example:
      >>> from attnjax.models import TransformerConfig, generate
      >>> config = TransformerConfig(dim=8, encoder_layers=1, decoder_layers=1)
      >>> model = Transformer(config, source_vocab=11, target_vocab=7, rngs=nnx.Rngs(0))
      >>> source, lengths = jnp.ones((2, 5), int), jnp.array([5, 4])
      >>> tokens = generate(model, source, lengths, bos=1, eos=2, pad=0, max_length=3).tokens
      >>> alignment(model, source, lengths, tokens, bos=1).shape
      (2, 3, 5)
    """
    graphdef, params = nnx.split(model, nnx.Param)
    captured = forced(
        graphdef, params, source, source_lengths, tokens, jnp.int32(bos), Capture(layers, heads)
    )
    cross = [weights for path, weights in captured.items() if path.endswith("cross_attention")]
    return jnp.mean(jnp.stack(cross), axis=(0, 2))


@partial(jax.jit, static_argnums=(0, 6))
def forced(
    graphdef: nnx.GraphDef[Any],
    params: nnx.State,
    source: Array,
    source_lengths: Array,
    tokens: Array,
    bos: Array,
    capture: Capture,
) -> Weights:
    """Returns the decoder's weights when it is fed the tokens that it emitted."""
    model = nnx.merge(graphdef, params)
    begin = jnp.full_like(tokens[:, :1], bos)
    memory = model.encode(source, source_lengths).memory
    fed = jnp.concatenate([begin, tokens[:, :-1]], axis=1)
    return model.decode(fed, memory, source_lengths, source=source, capture=capture).weights
