"""The encoder of texts, with the heads of its uses."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from attnjax.config import require
from attnjax.models.encoder_config import EncoderConfig
from attnjax.models.factory import Parts
from attnjax.models.output import Captured, EncoderOutput
from attnjax.models.padding import Present, key_mask, places, require_present
from attnjax.models.pooling import mean, pooled
from attnjax.models.sentence_marks import SentenceMarks
from attnjax.models.stack import through
from attnjax.nn import Dropout, Embedding, folded
from attnjax.nn.activation import ACTIVATIONS
from attnjax.nn.taps import Asked, tapped, within
from attnjax.ops import masks
from attnjax.ops.masks import Mask


class Encoder(nnx.Module):
    """A stack of blocks in which every token sees all others, as BERT is one, unless the config says causal.

    Its state is `nnx.Param`s only. Padding may stand on either side; its contents do not matter, and neither
    does its amount: positions count from the first token of each row.

    Args:
      config: its shape.
      vocab: the number of tokens.
      sentences: the tokens at which sentences end; for pooling `hierarchical`, which needs them.

    Raises:
      InputError: the pooling is `hierarchical`, and no token ends a sentence.

    References:
      Devlin et al., BERT, 2018, arXiv:1810.04805.
      Lan et al., ALBERT, 2019, arXiv:1909.11942.

    Example:
      >>> config = EncoderConfig(dim=8, head="masked_lm", head_activation="gelu", tie_embeddings=True)
      >>> model = Encoder(config, vocab=11, rngs=nnx.Rngs(0))
      >>> output = model(jnp.ones((2, 5), int), lengths=jnp.array([5, 3]))
      >>> output.states.shape, output.logits.shape
      ((2, 5, 8), (2, 5, 11))
    """

    def __init__(
        self,
        config: EncoderConfig,
        *,
        vocab: int,
        sentences: SentenceMarks | None = None,
        rngs: nnx.Rngs,
    ) -> None:
        self.config = config
        self.sentences = sentences if config.pools_sentences else None
        require(
            not config.pools_sentences or (sentences is not None and bool(sentences.ends)),
            f"model.pooling is {config.pooling!r}: no token is known to end a sentence, expected mean or "
            "self_attentive_pooling",
        )
        parts = Parts(config, rngs)
        distinct = config.layers if config.distinct_layers is None else config.distinct_layers
        self.embedding = parts.embedding(vocab, types=config.token_types, width=config.embedding_width)
        self.distances = parts.distances(config.distance_buckets)
        disentangled = self.distances is not None
        self.blocks = parts.stack(
            lambda i: parts.encoder_block(i, distinct, disentangled=disentangled), distinct
        )
        self.score = parts.position_score(bidirectional=not config.causal)
        self.norm = parts.read_out()
        self.pool = parts.pool(config.pooling)
        self.pooler = None if config.pooler is None else parts.dense(config.dim)
        self.head = None if config.head is None else Head(config, vocab, parts)
        self.pair = parts.output(2) if config.pair_head else None

    def __call__(
        self,
        tokens: Int[Array, "B T"],
        *,
        lengths: Int[Array, " B"] | None = None,
        mask: Bool[Array, "B T"] | None = None,
        types: Int[Array, "B T"] | None = None,
        positions: Int[Array, "*#B T"] | None = None,
        dropout: Dropout | None = None,
        capture: Asked = None,
    ) -> EncoderOutput:
        """Returns the vectors of the tokens, and what the head makes of them.

        Args:
          tokens: the tokens.
          lengths: the number of each row's tokens, after which there is padding.
          mask: True where there is a token and no padding, in the place of lengths. None of both: all.
          types: of the tokens; None: 0.
          positions: of the tokens; None: they count from each row's first token.
          dropout: of embeddings, weights and layers.
          capture: the weights to return, by the path of their layer ("blocks.1.attention"), and the vectors
            ("embedding", "blocks.1", "norm"); or `Taps`.

        Raises:
          TypeError: The tokens are not integers, or the mask not booleans.
          ValueError: Shapes do not fit, both lengths and a mask are given, or a capture is out of range.
        """
        if tokens.ndim != 2:
            raise ValueError(f"tokens {list(tokens.shape)}: expected (B, T)")
        if lengths is not None and mask is not None:
            raise ValueError("lengths and mask: expected one of the two")
        present = lengths if mask is None else mask
        if present is not None:
            require_present("lengths" if mask is None else "mask", present, tokens.shape)
            positions = places(present) if positions is None else positions
        captured = Captured(capture, "blocks")
        x = self.embedding(tokens, positions, types, taps=within(captured.sites, "embedding"))
        x = x if dropout is None else dropout.fold("embedding")(x)
        score: Any = None if self.score is None else self.score()
        if self.distances is not None:
            score = self.distances(tokens.shape[-1])
        states = through(
            self.blocks,
            self.norm,
            x,
            mask=self._mask(present),
            score=score,
            dropout=dropout,
            captured=captured,
            repeats=self.config.layers // len(self.blocks),
            remat=self.config.recomputes,
        )
        pooled = self._pooled(states, present, captured, tokens)
        logits = None
        if self.head is not None:
            of_text = self.config.head == "labels"
            logits = self.head(pooled if of_text else states, self.embedding, folded(dropout, "head"))
            logits = tapped(captured.sites, "logits", logits)
        pair = None if self.pair is None else self.pair(pooled)
        return EncoderOutput(states, pooled, logits, pair, captured.weights, captured.hidden, captured.taps)

    def _mask(self, present: Present | None) -> Mask | None:
        seen = None if present is None else key_mask(present)
        if not self.config.causal:
            return seen
        return masks.causal() if seen is None else masks.causal() & seen

    def _pooled(
        self,
        states: Float[Array, "B T D"],
        present: Present | None,
        captured: Captured,
        tokens: Int[Array, "B T"],
    ) -> Float[Array, "B D"]:
        place = _end(present, states.shape[1], last=self.config.pooling == "last")
        if self.pool is not None:
            numbers = None if self.sentences is None else self.sentences.numbers(tokens)
            read = pooled(self.pool, states, present, captured, sentences=numbers)
        elif self.config.pooling == "mean":
            read = mean(states, present)
        elif isinstance(place, int):
            read = states[:, place]
        else:
            read = jnp.take_along_axis(states, place[:, None, None], axis=1)[:, 0]
        if self.pooler is None or self.config.pooler is None:
            return read
        return ACTIVATIONS[self.config.pooler](self.pooler(read))


def _end(present: Present | None, tokens: int, *, last: bool) -> int | Int[Array, " B"]:
    """Returns the place of the first or last token of each row."""
    if present is None or (present.ndim == 1 and not last):
        return tokens - 1 if last else 0
    if present.ndim == 1:
        return jnp.maximum(present - 1, 0)
    if not last:
        return jnp.argmax(present, axis=-1)
    return tokens - 1 - jnp.argmax(present[:, ::-1], axis=-1)


class Head(nnx.Module):
    """The layer on top of an encoder.

    For masked tokens it is norm(f(x·W + c))·Eᵀ + b with the embedding E where that is tied, for labels
    f(x·W + c)·V + b. Without an activation f there is the last product alone.

    Args:
      config: of the encoder.
      vocab: the number of tokens.
      parts: makes the layers.
    """

    def __init__(self, config: EncoderConfig, vocab: int, parts: Parts) -> None:
        masked = config.head == "masked_lm"
        inner = config.embedding_width if masked and config.embedding_width else config.dim
        self.activation = config.head_activation
        self.transform = None if self.activation is None else parts.dense(inner)
        self.norm = parts.norm(inner) if masked and self.transform is not None else None
        tied = masked and config.tie_embeddings
        self.output = None if tied else parts.output(vocab if masked else config.labels, inner)
        self.bias = parts.bias(vocab) if tied else None

    def __call__(
        self, x: Float[Array, "*B D"], embedding: Embedding, dropout: Dropout | None
    ) -> Float[Array, "*B L"]:
        """Returns the logits."""
        x = x if dropout is None else dropout(x)
        if self.transform is not None:
            assert self.activation is not None
            x = ACTIVATIONS[self.activation](self.transform(x))
            x = x if self.norm is None else self.norm(x)
        if self.output is not None:
            return self.output(x)
        assert self.bias is not None
        return embedding.attend(x) + self.bias[...]
