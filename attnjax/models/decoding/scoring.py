"""Forced decoding: what a model makes of tokens that are given."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.models.decoding.loop import Decodable


class Forced(NamedTuple):
    """The result of forced decoding.

    Attributes:
      log_probs: [B, L], of each token, given those before it; 0 for those that do not count.
      alignment: [B, L, S], the last layer's cross-attention of each token, the mean of its heads; None where
        the model has no source.
    """

    log_probs: Float[Array, "B L"]
    alignment: Float[Array, "B L S"] | None


def force(
    model: Decodable,
    inputs: Int[Array, "B S"],
    lengths: Int[Array, " B"],
    tokens: Int[Array, "B L"],
    *,
    counts: Int[Array, " B"],
    bos: int | None = None,
) -> Forced:
    """Returns the log probabilities of tokens that are given, all in one pass (teacher forcing).

    Args:
      model: as of `generate`.
      inputs: likewise.
      lengths: likewise.
      tokens: padded on the right.
      counts: how many of the tokens of each row are scored, the end mark too where it is one of them.
      bos: the token that begins a row; a decoder-only model needs none.

    Raises:
      ValueError: Shapes do not fit.

    Example:
      >>> from attnjax.models import LanguageModel, LanguageModelConfig
      >>> model = LanguageModel(LanguageModelConfig(dim=8, layers=1), vocab=11, rngs=nnx.Rngs(0))
      >>> prompts, lengths = jnp.ones((2, 5), int), jnp.array([5, 4])
      >>> tokens, counts = jnp.array([[3, 2], [2, 0]]), jnp.array([2, 1])
      >>> force(model, prompts, lengths, tokens, counts=counts).log_probs.shape
      (2, 2)
    """
    if tokens.ndim != 2 or len(tokens) != len(inputs):
        raise ValueError(f"tokens {list(tokens.shape)}: expected ({len(inputs)}, L)")
    mark = None if bos is None else jnp.int32(bos)
    return _forced(*nnx.split(model, nnx.Param), inputs, lengths, tokens, counts, mark)


@partial(jax.jit, static_argnums=0)
def _forced(
    graphdef: nnx.GraphDef[Any],
    params: nnx.State,
    inputs: Array,
    lengths: Array,
    tokens: Array,
    counts: Array,
    bos: Array | None,
) -> Forced:
    model: Any = nnx.merge(graphdef, params)
    last, cache = model.start(inputs, lengths, bos=bos, room=tokens.shape[1])
    fed = jnp.concatenate([last.astype(tokens.dtype)[:, None], tokens[:, :-1]], axis=1)
    weights = None
    if hasattr(model, "attend"):
        logits, _, weights = model.attend(fed, cache)
    else:
        logits, *_ = model.extend(fed, cache)
    scores = jax.nn.log_softmax(logits.astype(jnp.float32))
    scores = jnp.take_along_axis(scores, tokens[..., None], axis=-1)[..., 0]
    return Forced(jnp.where(jnp.arange(tokens.shape[1]) < counts[:, None], scores, 0.0), weights)
