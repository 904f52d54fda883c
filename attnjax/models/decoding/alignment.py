"""The source positions that each emitted token attends to."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.models.encoder_decoder import Transformer
from attnjax.models.output import Weights
from attnjax.models.recurrent_writer import RecurrentWriter
from attnjax.nn import Capture


def alignment(
    model: Transformer | RecurrentWriter,
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


def monotonic_path(gain: Float[np.ndarray, "L S"]) -> Int[np.ndarray, "2 n"]:
    """Returns the tokens and the source positions of the best path from the first pair to the last.

    A step of dynamic time warping goes to the next token, the next position, or both; the path has the
    greatest sum of gains.

    Args:
      gain: of each pair.

    References:
      Sakoe & Chiba, Dynamic Programming Algorithm Optimization for Spoken Word Recognition, 1978.

    Example:
      >>> monotonic_path(np.array([[1, 1, -1, -1], [-1, -1, 1, -1], [-1, -1, -1, 1]])).tolist()
      [[0, 0, 1, 2], [0, 1, 2, 3]]
    """
    rows, columns = gain.shape
    best = np.full((rows + 1, columns + 1), -np.inf)
    best[0, 0] = 0
    came = np.zeros((rows, columns), np.int8)
    for i in range(rows):
        for j in range(columns):
            both, down, right = best[i, j], best[i, j + 1], best[i + 1, j]
            # Of equal ones the position goes on: a token lasts rather than two begin at once.
            step = 0 if both > max(down, right) else 1 if down > max(both, right) else 2
            came[i, j] = step
            best[i + 1, j + 1] = gain[i, j] + (both, down, right)[step]
    i, j, path = rows - 1, columns - 1, []
    while i >= 0 and j >= 0:
        path.append((i, j))
        step = came[i, j] if i and j else 2 if j else 1
        i, j = i - (step != 2), j - (step != 1)
    return np.array(path[::-1]).T
