"""Targets that an encoder-decoder writes token by token, with a cache of those before."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.models.padding import Present, require_present
from attnjax.nn import Capture, KeysValues, KVCache, StateCache
from attnjax.nn.attention.cache import SLOTS, among_beams
from attnjax.nn.placed import placed_slots, slots_for


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DecoderCache:
    """The cache of decoding.

    Attributes:
      own: the tokens so far, for each layer.
      source: the keys and values of the encoded source, projected once for each layer.
      source_lengths: the tokens of each source, or True where there is one.
      copied: the source's tokens; None where none is copied.
    """

    own: tuple[KVCache | StateCache, ...]
    source: tuple[KeysValues, ...]
    source_lengths: Present
    copied: Int[Array, "B S"] | None = None

    @property
    def length(self) -> Int[Array, " B"]:
        """The number of target tokens of each row."""
        return self.own[0].length

    def among_beams(self, parents: Int[Array, " B"]) -> "DecoderCache":
        """Returns the cache of beams that go on from others of their row, all of which read one source."""
        return replace(self, own=among_beams(self.own, parents))


class TargetWriter(nnx.Module):
    """The half of an encoder-decoder that writes: it calls the other half's `encode` and `decode`."""

    target_embedding: Any
    decoder: Any
    copying: Any
    encode: Any
    decode: Any

    def init_cache(
        self,
        memory: Float[Array, "B S D"],
        source_lengths: Present,
        length: int,
        *,
        source: Int[Array, "B S"] | None = None,
    ) -> DecoderCache:
        """Returns an empty cache for `length` target tokens, with the memory projected for every layer.

        Raises:
          ValueError: Shapes do not fit, or there are learned positions, but not so many.
        """
        self.target_embedding.require_rows(length)
        require_present("source_lengths", source_lengths, memory.shape[:2])
        rows, slots = memory.shape[:1], slots_for(length)
        own = tuple(block.self_attention.empty_cache(rows, slots, memory.dtype) for block in self.decoder)
        read = tuple(
            jax.tree.map(lambda x: placed_slots(x, SLOTS), block.cross_attention.project(memory))
            for block in self.decoder
        )
        return DecoderCache(own, read, source_lengths, None if self.copying is None else source)

    def start(
        self, source: Int[Array, "B S"], lengths: Int[Array, " B"], *, bos: Int[Array, ""] | None, room: int
    ) -> tuple[Int[Array, " B"], DecoderCache]:
        """Returns the begin mark for each row, and the cache of the encoded source.

        Args:
          source: the tokens, padded on the right.
          lengths: of the sources.
          bos: the mark that begins a target.
          room: the number of target tokens for which the cache has slots.

        Raises:
          ValueError: There is no mark, shapes do not fit, or there are learned positions, but not so many.
        """
        if bos is None:
            raise ValueError("bos None: expected the token that begins a target")
        memory = self.encode(source, lengths).memory
        return jnp.full(source.shape[:1], bos), self.init_cache(memory, lengths, room, source=source)

    def extend(
        self, tokens: Int[Array, "B T"], cache: DecoderCache
    ) -> tuple[Float[Array, "B T V"], DecoderCache, Float[Array, "B T D"]]:
        """Returns the logits of the token after each of these, the cache with them, their last vectors."""
        capture = Capture(layers=(), hidden=True)
        output = self.decode(tokens, None, cache.source_lengths, cache=cache, capture=capture)
        assert output.cache is not None
        return output.logits, output.cache, output.hidden["decoder_norm"]

    def attend(
        self, tokens: Int[Array, "B T"], cache: DecoderCache
    ) -> tuple[Float[Array, "B T V"], DecoderCache, Float[Array, "B T S"]]:
        """Returns as `extend` logits and cache, and the last layer's mean attention to the source."""
        last = len(self.decoder) - 1
        output = self.decode(tokens, None, cache.source_lengths, cache=cache, capture=Capture(layers=(last,)))
        assert output.cache is not None
        weights = output.weights[f"decoder.{last}.cross_attention"]
        return output.logits, output.cache, weights.mean(axis=1)
