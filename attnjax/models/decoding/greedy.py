"""Greedy decoding, and the source positions that each emitted token attends to."""

from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PyTree

from attnjax.models.encoder_decoder import Transformer
from attnjax.models.output import Weights
from attnjax.nn import Capture
from attnjax.nn.attention.placing import shifted


class Decodable(Protocol):
    """A model that emits one token after another, such as `Transformer` and `LanguageModel`."""

    def start(
        self, inputs: Int[Array, "B S"], lengths: Int[Array, " B"], *, bos: Int[Array, ""] | None, room: int
    ) -> tuple[Int[Array, " B"], Any]:
        """Returns each row's token before the first that is emitted, and a cache of all before it."""

    def step(self, last: Int[Array, " B"], cache: Any) -> tuple[Float[Array, "B V"], Any]:
        """Returns the logits of the token after each row's last one, and the cache with that one."""


class Decoded(NamedTuple):
    """Emitted tokens.

    Attributes:
      tokens: [B, L]: `lengths` of them, then the end mark (unless cut off), then padding.
      lengths: [B].
      weights: those that a capture asked for, by the path of their layer; None where none was given.
    """

    tokens: Int[Array, "B L"]
    lengths: Int[Array, " B"]
    weights: Weights | None


class _Progress(NamedTuple):
    step: Int[Array, ""]
    tokens: Int[Array, "B L"]
    last: Int[Array, " B"]
    done: Bool[Array, " B"]
    cache: PyTree


def greedy_decode(
    model: Decodable,
    inputs: Int[Array, "B S"],
    lengths: Int[Array, " B"],
    *,
    bos: int | None = None,
    eos: int,
    pad: int,
    max_length: int,
    padding: Literal["right", "left"] = "right",
    capture: Capture | None = None,
) -> Decoded:
    """Emits the likeliest next token until every row has ended, in one compiled loop.

    Rows do not depend on each other: a row gives what it gives alone, whatever its padding.

    Args:
      model: an encoder-decoder, which reads the inputs, or a decoder-only model, which continues them.
      inputs: sources or prompts.
      lengths: the tokens of each of them, without padding.
      bos: the token that begins a row; a decoder-only model needs none.
      eos: the token that ends a row.
      pad: the token that fills up a row.
      max_length: L, of emitted tokens, the end mark included.
      padding: the side of the inputs on which their padding is.
      capture: weights of an encoder-decoder's decoder to return; row t belongs to the step that emitted
        token t.

    Raises:
      ValueError: max_length is not positive, or more than there are learned positions; the capture is out of
        range, or the model has no encoder; there is no bos where one is needed.

    Example:
      >>> from attnjax.models import LanguageModel, LanguageModelConfig
      >>> model = LanguageModel(LanguageModelConfig(dim=8), vocab=11, rngs=nnx.Rngs(0))
      >>> prompts, lengths = jnp.ones((2, 5), int), jnp.array([5, 4])
      >>> greedy_decode(model, prompts, lengths, eos=2, pad=0, max_length=3).tokens.shape
      (2, 3)
    """
    if max_length < 1:
        raise ValueError(f"max_length {max_length}: expected 1 or more")
    if padding not in ("right", "left"):
        raise ValueError(f"padding {padding!r}: expected 'right' or 'left'")
    if capture is not None and not isinstance(model, Transformer):
        raise ValueError(f"capture {capture}: expected None, {type(model).__name__} has no encoder")
    if padding == "left":
        inputs = shifted(inputs[..., None], inputs.shape[1] - lengths)[..., 0]
    graphdef, params = nnx.split(model, nnx.Param)
    begin = None if bos is None else jnp.int32(bos)
    tokens, ends = _greedy(
        graphdef, params, inputs, lengths, begin, jnp.array([eos, pad], jnp.int32), max_length
    )
    if capture is None or begin is None:
        return Decoded(tokens, ends, None)
    return Decoded(tokens, ends, _forced(graphdef, params, inputs, lengths, tokens, begin, capture))


def alignment(
    model: Transformer,
    source: Int[Array, "B S"],
    source_lengths: Int[Array, " B"],
    tokens: Int[Array, "B L"],
    *,
    bos: int,
    layers: tuple[int, ...] | None = None,
    heads: tuple[int, ...] | None = None,
) -> Float[Array, "B L S"]:
    """Returns the mean of cross-attention from each emitted token to each source position.

    The tokens are fed back (teacher forcing), so that those of `greedy_decode` give its own weights. Rows sum
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
      >>> from attnjax.models import TransformerConfig
      >>> model = Transformer(TransformerConfig(dim=8), source_vocab=11, target_vocab=7, rngs=nnx.Rngs(0))
      >>> source, lengths = jnp.ones((2, 5), int), jnp.array([5, 4])
      >>> tokens = greedy_decode(model, source, lengths, bos=1, eos=2, pad=0, max_length=3).tokens
      >>> alignment(model, source, lengths, tokens, bos=1).shape
      (2, 3, 5)
    """
    graphdef, params = nnx.split(model, nnx.Param)
    captured = _forced(
        graphdef, params, source, source_lengths, tokens, jnp.int32(bos), Capture(layers, heads)
    )
    cross = [weights for path, weights in captured.items() if path.endswith("cross_attention")]
    return jnp.mean(jnp.stack(cross), axis=(0, 2))


@partial(jax.jit, static_argnums=(0, 6))
def _greedy(
    graphdef: nnx.GraphDef[Any],
    params: nnx.State,
    inputs: Array,
    lengths: Array,
    bos: Array | None,
    marks: Array,
    max_length: int,
) -> tuple[Array, Array]:
    model: Decodable = nnx.merge(graphdef, params)
    eos, pad = marks
    batch = inputs.shape[0]
    last, cache = model.start(inputs, lengths, bos=bos, room=max_length)

    def step(progress: _Progress) -> _Progress:
        logits, cache = model.step(progress.last, progress.cache)
        best = jnp.argmax(logits, axis=-1).astype(jnp.int32)
        token = jnp.where(progress.done, pad, best)
        tokens = progress.tokens.at[:, progress.step].set(token)
        return _Progress(progress.step + 1, tokens, token, progress.done | (token == eos), cache)

    start = _Progress(
        step=jnp.int32(0),
        tokens=jnp.full((batch, max_length), pad),
        last=last.astype(jnp.int32),
        done=jnp.zeros((batch,), bool),
        cache=cache,
    )
    end = jax.lax.while_loop(lambda p: (p.step < max_length) & ~p.done.all(), step, start)
    ended = end.tokens == eos
    lengths = jnp.where(ended.any(axis=1), jnp.argmax(ended, axis=1), max_length)
    return end.tokens, lengths.astype(jnp.int32)


@partial(jax.jit, static_argnums=(0, 6))
def _forced(
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
    return model.decode(fed, memory, source_lengths, capture=capture).weights
