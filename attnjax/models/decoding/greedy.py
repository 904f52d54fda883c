"""Turning a model's predictions into text: greedy decoding, and what each emitted token attended to."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from attnjax.models.encoder_decoder import DecoderCache, Transformer
from attnjax.nn import Capture


class Decoded(NamedTuple):
    """Emitted tokens [B, L]: `lengths` of them, then the end mark (unless cut off), then padding."""

    tokens: Int[Array, "B L"]
    lengths: Int[Array, " B"]
    weights: dict[str, Float[Array, "B N rows columns"]] | None


class _Progress(NamedTuple):
    step: Int[Array, ""]
    tokens: Int[Array, "B L"]
    last: Int[Array, " B"]
    done: Bool[Array, " B"]
    cache: DecoderCache


def greedy_decode(
    model: Transformer,
    source: Int[Array, "B S"],
    source_lengths: Int[Array, " B"],
    *,
    bos: int,
    eos: int,
    pad: int,
    max_length: int,
    capture: Capture | None = None,
) -> Decoded:
    """The likeliest next token, again and again: one compiled loop that stops when every row has ended.

    Args:
      bos, eos, pad: the tokens that begin, end and fill up a row.
      max_length: L, of emitted tokens, the end mark included.
      capture: weights of the decoder to return; row t belongs to the step that emitted token t.

    Raises:
      ValueError: max_length is not positive, or more than there are learned positions, or the capture is out
        of range.

    >>> from attnjax.models import TransformerConfig
    >>> model = Transformer(TransformerConfig(dim=8), source_vocab=11, target_vocab=7, rngs=nnx.Rngs(0))
    >>> source, lengths = jnp.ones((2, 5), int), jnp.array([5, 4])
    >>> greedy_decode(model, source, lengths, bos=1, eos=2, pad=0, max_length=3).tokens.shape
    (2, 3)
    """
    if max_length < 1:
        raise ValueError(f"max_length {max_length}: expected 1 or more")
    model.target_embedding.require_rows(max_length)
    graphdef, params = nnx.split(model, nnx.Param)
    marks = jnp.array([bos, eos, pad], jnp.int32)
    tokens, lengths = _greedy(graphdef, params, source, source_lengths, marks, max_length)
    if capture is None:
        return Decoded(tokens, lengths, None)
    return Decoded(
        tokens, lengths, _forced(graphdef, params, source, source_lengths, tokens, marks[0], capture)
    )


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
    """How much each token looked at each source position when it was emitted: the mean of cross-attention.

    The tokens are fed back (teacher forcing), so that those of `greedy_decode` give its own weights. The mean
    is over the given decoder layers and heads (all by default). Rows sum to 1; after the end they are void.

    Raises ValueError for shapes that do not fit, or layers or heads out of range.

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


@partial(jax.jit, static_argnums=(0, 5))
def _greedy(
    graphdef: Any, params: Any, source: Array, source_lengths: Array, marks: Array, max_length: int
) -> tuple[Array, Array]:
    model = nnx.merge(graphdef, params)
    bos, eos, pad = marks
    batch = source.shape[0]

    def step(progress: _Progress) -> _Progress:
        logits, cache, _ = model.decode(progress.last[:, None], None, source_lengths, cache=progress.cache)
        best = jnp.argmax(logits[:, 0], axis=-1).astype(jnp.int32)
        token = jnp.where(progress.done, pad, best)
        tokens = progress.tokens.at[:, progress.step].set(token)
        return _Progress(progress.step + 1, tokens, token, progress.done | (token == eos), cache)

    start = _Progress(
        step=jnp.int32(0),
        tokens=jnp.full((batch, max_length), pad),
        last=jnp.full((batch,), bos),
        done=jnp.zeros((batch,), bool),
        cache=model.init_cache(model.encode(source, source_lengths).memory, source_lengths, max_length),
    )
    end = jax.lax.while_loop(lambda p: (p.step < max_length) & ~p.done.all(), step, start)
    ended = end.tokens == eos
    lengths = jnp.where(ended.any(axis=1), jnp.argmax(ended, axis=1), max_length)
    return end.tokens, lengths.astype(jnp.int32)


@partial(jax.jit, static_argnums=(0, 6))
def _forced(
    graphdef: Any,
    params: Any,
    source: Array,
    source_lengths: Array,
    tokens: Array,
    bos: Array,
    capture: Capture,
) -> dict[str, Array]:
    """The decoder's weights when it is fed the tokens it emitted."""
    model = nnx.merge(graphdef, params)
    begin = jnp.full_like(tokens[:, :1], bos)
    memory = model.encode(source, source_lengths).memory
    fed = jnp.concatenate([begin, tokens[:, :-1]], axis=1)
    return model.decode(fed, memory, source_lengths, capture=capture).weights
