"""The encoder-decoder of recurrent networks, with attention or without."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.models.output import Encoded, ModelOutput
from attnjax.models.padding import Present, inside, require_present
from attnjax.models.pointer_generator import PointerGenerator
from attnjax.models.recurrent_config import RecurrentConfig
from attnjax.models.recurrent_decoder import Carry, RecurrentDecoder, linear
from attnjax.nn import Capture, Dropout, Embedding, KeysValues, folded
from attnjax.nn.cells import CELLS
from attnjax.nn.taps import Asked, NoSite

ATTENTION = "decoder.cross_attention"
"""The path of the attention's weights."""


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


class RecurrentEncoderDecoder(nnx.Module):
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

    continues: ClassVar[bool] = False

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

    def __call__(
        self,
        source: Int[Array, "B S"],
        source_lengths: Present,
        target: Int[Array, "B T"],
        *,
        dropout: Dropout | None = None,
        capture: Asked = None,
    ) -> ModelOutput[RecurrentCache]:
        """Returns the logits of the token after each target token, given those up to it (teacher forcing).

        Raises:
          ValueError: Shapes do not fit; the capture is none of weights, or out of range.
        """
        memory = self.encode(source, source_lengths, dropout=dropout).memory
        return self.decode(target, memory, source_lengths, source=source, dropout=dropout, capture=capture)

    def encode(
        self, source: Int[Array, "B S"], source_lengths: Present, *, dropout: Dropout | None = None
    ) -> Encoded:
        """Returns the source as vectors, which are 0 for its padding.

        Raises:
          ValueError: Shapes do not fit.
        """
        if source.ndim != 2:
            raise ValueError(f"source {list(source.shape)}: expected (B, S)")
        require_present("source_lengths", source_lengths, source.shape)
        there, dropout = inside(source_lengths, source.shape[1]), folded(dropout, "encoder")
        x = self.source_embedding(source)
        for i, (forward, backward) in enumerate(zip(self.forward, self.backward, strict=True)):
            x = _dropped(x, folded(dropout, i))
            x = jnp.concatenate([forward.read(x, there), backward.read(x, there, reverse=True)], axis=-1)
        return Encoded(jnp.where(there[..., None], x, 0), {}, {})

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
          capture: the weights to return, and with `hidden` each h̃, as "decoder".

        Raises:
          ValueError: Shapes do not fit; the capture is none of weights, or out of range.
        """
        if capture is not None and not isinstance(capture, Capture):
            raise NoSite(f"capture {capture!r}: a recurrent network has no taps, expected Capture(…)")
        begun = cache
        if begun is None:
            if memory is None:
                raise ValueError("memory None: it can be left out only with a cache")
            begun = self.init_cache(memory, source_lengths, source=source)
        dropout = folded(dropout, "decoder")
        embedded = _dropped(self.target_embedding(target), folded(dropout, "embedding"))
        there = inside(begun.source_lengths, begun.carry.read.shape[-1])
        x, weights, carry = self.decoder(embedded, begun.carry, begun.source, there)
        logits = self.output(_dropped(x, folded(dropout, "output")))
        if self.copying is not None:
            assert weights is not None
            assert begun.copied is not None
            logits = self.copying(x, logits, weights, begun.copied)
        kept = RecurrentCache(
            carry, begun.source, begun.source_lengths, begun.copied, begun.length + target.shape[1]
        )
        output: ModelOutput[RecurrentCache] = ModelOutput(logits, None if cache is None else kept, {}, {})
        return output if capture is None else _captured(output, capture, x, weights)

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
        self, source: Int[Array, "B S"], lengths: Int[Array, " B"], *, bos: Int[Array, ""] | None, room: int
    ) -> tuple[Int[Array, " B"], RecurrentCache]:
        """Returns the begin mark for each row, and the cache of the encoded source.

        Args:
          source: the tokens, padded on the right.
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
        return output.logits, output.cache, output.weights.get(ATTENTION, nothing)[:, 0]


def _captured(output: Any, capture: Capture, x: Array, weights: Array | None) -> Any:
    """Returns the output with what a capture asks for."""
    capture.require_within("heads", 1)
    capture.require_within("layers", 1)
    capture.require_within("rows", x.shape[1])
    hidden = {"decoder": capture.of_tokens(x)} if capture.hidden else {}
    if weights is None or capture.layer(0) is None:
        return output._replace(hidden=hidden)
    return output._replace(hidden=hidden, weights={ATTENTION: capture.of_weights(weights)})


def _dropped(x: Array, dropout: Dropout | None) -> Array:
    return x if dropout is None else dropout(x)
