"""The encoder-decoder Transformer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.models.config import TransformerConfig
from attnjax.models.factory import Parts
from attnjax.nn import Capture, Dropout, KeysValues, KVCache, StateCache, folded, without_none
from attnjax.ops import masks


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DecoderCache:
    """What decoding keeps, for each layer: the tokens so far, and the encoded source, projected once."""

    own: tuple[KVCache | StateCache, ...]
    source: tuple[KeysValues, ...]

    @property
    def length(self) -> Int[Array, ""]:
        """How many target tokens it holds."""
        return self.own[0].length


class Transformer(nnx.Module):
    """An encoder-decoder over token ids (Vaswani et al., Attention Is All You Need, 2017).

    Its state is `nnx.Param`s only. Where a method takes capture, it gives the weights it asks for, before
    dropout, as a last element: a dict from the attention layer's path ("decoder.1.cross_attention") to
    [B, heads, rows, S]; layers of another mechanism than softmax have none. Sources are padded on the right;
    what stands in the padding does not matter.

    Args:
      config: its shape.
      source_vocab, target_vocab: numbers of tokens.

    >>> model = Transformer(TransformerConfig(dim=8), source_vocab=11, target_vocab=7, rngs=nnx.Rngs(0))
    >>> source, target = jnp.ones((2, 5), int), jnp.ones((2, 3), int)
    >>> model(source, jnp.array([5, 4]), target).shape
    (2, 3, 7)
    """

    def __init__(
        self, config: TransformerConfig, *, source_vocab: int, target_vocab: int, rngs: nnx.Rngs
    ) -> None:
        self.config = config
        parts = Parts(config, rngs)
        self.source_embedding = parts.embedding(source_vocab)
        self.target_embedding = parts.embedding(target_vocab)
        self.encoder = nnx.List(
            [parts.encoder_block(i, config.encoder_layers) for i in range(config.encoder_layers)]
        )
        self.decoder = nnx.List(
            [parts.decoder_block(i, config.decoder_layers) for i in range(config.decoder_layers)]
        )
        self.encoder_score = parts.position_score(bidirectional=True)
        self.decoder_score = parts.position_score(bidirectional=False)
        pre = config.norm_placement == "pre"
        self.encoder_norm = parts.norm() if pre else None
        self.decoder_norm = parts.norm() if pre else None
        self.output = None if config.tie_embeddings else parts.output(target_vocab)

    def __call__(
        self,
        source: Int[Array, "B S"],
        source_lengths: Int[Array, " B"],
        target: Int[Array, "B T"],
        *,
        dropout: Dropout | None = None,
        capture: Capture | None = None,
    ) -> Any:
        """Logits [B, T, V] of the token after each target token, given those up to it (teacher forcing).

        One capture is for both stacks: a layer or a row that only one of them has is left out of the other.

        Raises:
          TypeError: source or target is not integer.
          ValueError: shapes do not fit, or a capture is out of range in both stacks.
        """
        if capture is None:
            memory = self.encode(source, source_lengths, dropout=dropout)
            return self.decode(target, memory, source_lengths, dropout=dropout)
        encoder = decoder = capture
        for name, sizes in (
            ("layers", (len(self.encoder), len(self.decoder))),
            ("rows", (source.shape[-1], target.shape[-1])),
        ):
            capture.require_within(name, max(sizes))
            encoder, decoder = encoder.within(name, sizes[0]), decoder.within(name, sizes[1])
        memory, weights = self.encode(source, source_lengths, dropout=dropout, capture=encoder)
        logits, more = self.decode(target, memory, source_lengths, dropout=dropout, capture=decoder)
        return logits, weights | more

    def encode(
        self,
        source: Int[Array, "B S"],
        source_lengths: Int[Array, " B"],
        *,
        dropout: Dropout | None = None,
        capture: Capture | None = None,
    ) -> Any:
        """The source as vectors [B, S, D]; those of the padding mean nothing.

        Raises:
          TypeError: the source is not integer.
          ValueError: shapes do not fit, or a capture is out of range.
        """
        _check_source(source, source_lengths)
        if capture is not None:
            capture.require_within("layers", len(self.encoder))
        dropout = folded(dropout, "encoder")
        x = _drop(self.source_embedding(source), dropout)
        mask = masks.lengths(key=source_lengths)
        score = None if self.encoder_score is None else self.encoder_score()
        captured = {}
        for i, block in enumerate(self.encoder):
            x, _, weights = block(
                x,
                mask=mask,
                score=score,
                dropout=folded(dropout, i),
                capture=_layer(capture, i),
            )
            if weights is not None:
                captured[f"encoder.{i}.attention"] = weights
        memory = x if self.encoder_norm is None else self.encoder_norm(x)
        return without_none(memory, None if capture is None else captured)

    def decode(
        self,
        target: Int[Array, "B T"],
        memory: Float[Array, "B S D"] | None,
        source_lengths: Int[Array, " B"],
        *,
        cache: DecoderCache | None = None,
        dropout: Dropout | None = None,
        capture: Capture | None = None,
    ) -> Any:
        """Logits [B, T, V], in float32 or better; with a cache (logits, cache).

        Args:
          target: the tokens, the first of which is the begin mark; with a cache, those after it.
          memory: from `encode`; with a cache it is not used and may be None.

        Raises:
          TypeError: the target is not integer.
          ValueError: shapes do not fit, the cache is full, or a capture is out of range.
        """
        sources = self._sources(memory, cache)
        if capture is not None:
            capture.require_within("layers", len(self.decoder))
        offset = 0 if cache is None else cache.length
        dropout = folded(dropout, "decoder")
        x = _drop(self.target_embedding(target, offset + jnp.arange(target.shape[-1])), dropout)
        score = None if self.decoder_score is None else self.decoder_score(offset)
        own: list[Any] = []
        captured = {}
        for i, block in enumerate(self.decoder):
            x, kept, self_weights, cross_weights = block(
                x,
                sources[i],
                mask=masks.causal(offset),
                context_mask=masks.lengths(key=source_lengths),
                score=score,
                cache=None if cache is None else cache.own[i],
                dropout=folded(dropout, i),
                capture=_layer(capture, i),
            )
            own.append(kept)
            for name, weights in (("self_attention", self_weights), ("cross_attention", cross_weights)):
                if weights is not None:
                    captured[f"decoder.{i}.{name}"] = weights
        logits = self._logits(x if self.decoder_norm is None else self.decoder_norm(x))
        kept_cache = None if cache is None else DecoderCache(tuple(own), cache.source)
        return without_none(logits, kept_cache, None if capture is None else captured)

    def init_cache(
        self, memory: Float[Array, "B S D"], source_lengths: Int[Array, " B"], length: int
    ) -> DecoderCache:
        """An empty cache for `length` target tokens, with the memory projected for every layer.

        Raises:
          ValueError: shapes do not fit, or there are learned positions, but not so many.
        """
        self.target_embedding.require_rows(length)
        _check_lengths(memory, source_lengths)
        own = tuple(
            block.self_attention.empty_cache(memory.shape[:1], length, memory.dtype) for block in self.decoder
        )
        return DecoderCache(own, tuple(block.cross_attention.project(memory) for block in self.decoder))

    def _sources(self, memory: Array | None, cache: DecoderCache | None) -> Sequence[Array | KeysValues]:
        """What each layer's cross-attention looks at."""
        if cache is not None:
            return cache.source
        if memory is None:
            raise ValueError("memory None: it can be left out only with a cache")
        return [memory] * len(self.decoder)

    def _logits(self, x: Float[Array, "B T D"]) -> Float[Array, "B T V"]:
        return self.target_embedding.attend(x) if self.output is None else self.output(x)


def _check_source(source: Array, source_lengths: Array) -> None:
    if source.ndim != 2:
        raise ValueError(f"source {list(source.shape)}: expected (B, S)")
    _check_lengths(source, source_lengths)


def _check_lengths(rows: Array, source_lengths: Array) -> None:
    if source_lengths.shape != rows.shape[:1]:
        raise ValueError(f"source_lengths {list(source_lengths.shape)}: expected (B,), B is {rows.shape[0]}")


def _drop(x: Array, dropout: Dropout | None) -> Array:
    return x if dropout is None else dropout.fold("embedding")(x)


def _layer(capture: Capture | None, number: int) -> Capture | None:
    return None if capture is None else capture.layer(number)
