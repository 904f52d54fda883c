"""Targets that a recurrent decoder writes token by token, with a cache of its state."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.models.output import Captured, ModelOutput, sites_of
from attnjax.models.padding import Present, inside, require_present
from attnjax.models.recurrent_decoder import CROSS_ATTENTION, Carry
from attnjax.nn import Capture, Dropout, KeysValues, folded
from attnjax.nn.taps import Asked, tapped, within


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RecurrentCache:
    """The cache of decoding, which is as large after the last token as before the first.

    Attributes:
      carry: the state of the decoder.
      source: keys and values of the encoded source; None without attention.
      source_lengths: the tokens of each source, or True where there is one.
      copied: the source's tokens; None where none is copied.
      length: the number of target tokens of each row.
    """

    carry: Carry
    source: KeysValues | None
    source_lengths: Present
    copied: Int[Array, "B S"] | None
    length: Int[Array, " B"]

    def among_beams(self, parents: Int[Array, " B"]) -> "RecurrentCache":
        """Returns the cache of beams that go on from others of their row, all of which read one source."""
        carry, length = jax.tree.map(lambda x: x[parents], (self.carry, self.length))
        return replace(self, carry=carry, length=length)


class RecurrentWriter(nnx.Module):
    """The half of a recurrent encoder-decoder that writes: it calls the other half's `encode`."""

    continues: ClassVar[bool] = False
    target_embedding: Any
    decoder: Any
    output: Any
    copying: Any
    encode: Any

    def __call__(
        self,
        source: Int[Array, "B S"] | Float[Array, "B Y X C"],
        source_lengths: Present,
        target: Int[Array, "B T"],
        *,
        dropout: Dropout | None = None,
        capture: Asked = None,
    ) -> ModelOutput[RecurrentCache]:
        """Returns the logits of the token after each target token, given those up to it (teacher forcing).

        Raises:
          ValueError: Shapes do not fit, or a capture is out of range.
        """
        sites = sites_of(capture)
        memory = self.encode(source, source_lengths, dropout=dropout, capture=sites).memory
        asked = capture if sites is None else sites
        output = self.decode(target, memory, source_lengths, source=source, dropout=dropout, capture=asked)
        if sites is not None:
            sites.require_known()
            return output._replace(taps=sites.found)
        return output

    def decode(
        self,
        target: Int[Array, "B T"],
        memory: Float[Array, "B S D"] | None,
        source_lengths: Present,
        *,
        source: Int[Array, "B S"] | None = None,
        cache: RecurrentCache | None = None,
        dropout: Dropout | None = None,
        capture: Asked = None,
    ) -> ModelOutput[RecurrentCache]:
        """Returns the logits of the token after each target token.

        Args:
          target: the tokens, the first of which is the begin mark; with a cache, those after it.
          memory: from `encode`; with a cache it is not used and may be None.
          source_lengths: tokens of each source, or True where there is one.
          source: its tokens, where these are copied and there is no cache.
          cache: earlier tokens of the target, to which these are appended.
          dropout: of the embeddings, and of h̃ before the logits; None: there is none.
          capture: the weights to return, and with `hidden` each h̃, as "decoder"; or taps. Their edits see
            one token at a time: those of the others are 0 in the arrays that they are given.

        Raises:
          ValueError: Shapes do not fit, or a capture is out of range.
        """
        captured = Captured(capture, "decoder")
        sites, begun = captured.sites, cache
        if begun is None:
            if memory is None:
                raise ValueError("memory None: it can be left out only with a cache")
            begun = self.init_cache(memory, source_lengths, source=source)
        dropout = folded(dropout, "decoder")
        embedded = self.target_embedding(target, taps=within(sites, "target_embedding"))
        embedded = dropped(embedded, folded(dropout, "embedding"))
        there = inside(begun.source_lengths, begun.carry.read.shape[-1])
        x, weights, carry = self.decoder(embedded, begun.carry, begun.source, there, sites)
        logits = self.output(dropped(x, folded(dropout, "output")))
        if self.copying is not None:
            assert weights is not None
            assert begun.copied is not None
            logits = self.copying(x, logits, weights, begun.copied)
        logits = tapped(sites, "logits", logits)
        kept = RecurrentCache(
            carry, begun.source, begun.source_lengths, begun.copied, begun.length + target.shape[1]
        )
        output: ModelOutput[RecurrentCache] = ModelOutput(
            logits, None if cache is None else kept, {}, {}, captured.taps
        )
        return output if captured.asked is None else _captured(output, captured.asked, x, weights)

    def init_cache(
        self,
        memory: Float[Array, "B S D"],
        source_lengths: Present,
        *,
        source: Int[Array, "B S"] | None = None,
    ) -> RecurrentCache:
        """Returns the cache before the first target token.

        Raises:
          ValueError: Shapes do not fit, or tokens are copied and there is no source.
        """
        require_present("source_lengths", source_lengths, memory.shape[:2])
        if self.copying is not None and source is None:
            raise ValueError("source None: its tokens are copied, expected them (B, S)")
        carry = self.decoder.begin(memory, inside(source_lengths, memory.shape[1]))
        copied = None if self.copying is None else source
        length = jnp.zeros(memory.shape[:1], jnp.int32)
        return RecurrentCache(carry, self.decoder.project(memory), source_lengths, copied, length)

    def start(
        self,
        source: Int[Array, "B S"] | Float[Array, "B Y X C"],
        lengths: Int[Array, " B"],
        *,
        bos: Int[Array, ""] | None,
        room: int,
    ) -> tuple[Int[Array, " B"], RecurrentCache]:
        """Returns the begin mark for each row, and the cache of the encoded source.

        Args:
          source: the tokens, padded on the right, or images.
          lengths: of the sources.
          bos: the mark that begins a target.
          room: it decides nothing, a state has no slots.

        Raises:
          ValueError: There is no mark, or shapes do not fit.
        """
        if bos is None:
            raise ValueError("bos None: expected the token that begins a target")
        memory = self.encode(source, lengths).memory
        return jnp.full(source.shape[:1], bos), self.init_cache(memory, lengths, source=source)

    def extend(
        self, tokens: Int[Array, "B T"], cache: RecurrentCache
    ) -> tuple[Float[Array, "B T V"], RecurrentCache, Float[Array, "B T D"]]:
        """Returns the logits of the token after each of these, the cache with them, their last vectors."""
        output = self.decode(tokens, None, cache.source_lengths, cache=cache, capture=Capture(hidden=True))
        assert output.cache is not None
        return output.logits, output.cache, output.hidden["decoder"]

    def attend(
        self, tokens: Int[Array, "B T"], cache: RecurrentCache
    ) -> tuple[Float[Array, "B T V"], RecurrentCache, Float[Array, "B T S"]]:
        """Returns as `extend` logits and cache, and the attention to the source, 0 where there is none."""
        output = self.decode(tokens, None, cache.source_lengths, cache=cache, capture=Capture())
        assert output.cache is not None
        nothing = jnp.zeros((tokens.shape[0], 1, tokens.shape[1], cache.carry.read.shape[-1]))
        return output.logits, output.cache, output.weights.get(CROSS_ATTENTION, nothing)[:, 0]


def _captured(output: Any, capture: Capture, x: Array, weights: Array | None) -> Any:
    """Returns the output with what a capture asks for."""
    capture.require_within("heads", 1)
    capture.require_within("layers", 1)
    capture.require_within("rows", x.shape[1])
    hidden = {"decoder": capture.of_tokens(x)} if capture.hidden else {}
    if weights is None or capture.layer(0) is None:
        return output._replace(hidden=hidden)
    return output._replace(hidden=hidden, weights={CROSS_ATTENTION: capture.of_weights(weights)})


def dropped(x: Float[Array, "*B"], dropout: Dropout | None) -> Float[Array, "*B"]:
    """Returns x under dropout, or as it is where there is none."""
    return x if dropout is None else dropout(x)
