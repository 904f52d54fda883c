"""The decoder-only language model."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.models.config import LanguageModelConfig
from attnjax.models.hybrid import parts_of
from attnjax.models.output import Captured, ModelOutput
from attnjax.models.scanned import scanned
from attnjax.nn import Capture, Depth, Dropout, KVCache, StateCache, folded
from attnjax.nn.attention.placing import following
from attnjax.nn.blocks import BlockOutput, read_out
from attnjax.nn.placed import slots_for
from attnjax.nn.recomputed import recomputed
from attnjax.nn.stacked import StackedBlocks
from attnjax.nn.taps import Asked, tapped, within
from attnjax.ops import masks


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LanguageModelCache:
    """The cache of decoding.

    Attributes:
      layers: the keys and values of the tokens so far, or a state, for each layer.
      tail: the embeddings of the last tokens, for the convolution.
    """

    layers: tuple[KVCache | StateCache, ...]
    tail: Float[Array, "B W-1 D"] | None

    @property
    def length(self) -> Int[Array, " B"]:
        """The number of tokens of each row."""
        return self.layers[0].length


class LanguageModel(nnx.Module):
    """A decoder-only Transformer that predicts each next token of a sequence.

    Where the config has a convolution, x_t + silu(Σ_l w_l ⊙ x_{t-l}) of the embeddings x enters the first
    block. Its state is `nnx.Param`s only. Padding on the right is seen by nothing that stands before it.

    Args:
      config: its shape; a `HybridConfig` where layers are not alike.
      vocab: the number of tokens.

    References:
      Radford et al., Improving Language Understanding by Generative Pre-Training, 2018.

    Example:
      >>> model = LanguageModel(LanguageModelConfig(dim=8, layers=1), vocab=11, rngs=nnx.Rngs(0))
      >>> tokens = jnp.array([[3, 1, 4, 1, 5]])
      >>> model(tokens).logits.shape
      (1, 5, 11)
      >>> prefill = model(tokens[:, :4], cache=model.init_cache(1, 5))  # then one token after another:
      >>> step = model(tokens[:, 4:], cache=prefill.cache)
      >>> step.logits.shape, step.cache.length.tolist()
      ((1, 1, 11), [5])
    """

    continues: ClassVar[bool] = True

    def __init__(self, config: LanguageModelConfig, *, vocab: int, rngs: nnx.Rngs) -> None:
        self.config = config
        parts = parts_of(config, rngs)
        self.embedding = parts.embedding(vocab)
        self.convolution = None if config.convolution is None else parts.convolution(config.convolution)
        self.blocks = parts.stack(lambda i: parts.encoder_block(i, config.layers), config.layers)
        self.score = parts.position_score(bidirectional=False)
        self.norm = parts.read_out()
        self.output = None if config.tie_embeddings else parts.output(vocab)

    def __call__(
        self,
        tokens: Int[Array, "B T"],
        *,
        lengths: Int[Array, " B"] | None = None,
        segments: Int[Array, "B T"] | None = None,
        cache: LanguageModelCache | None = None,
        dropout: Dropout | None = None,
        capture: Asked = None,
    ) -> ModelOutput[LanguageModelCache]:
        """Returns the logits of the token after each token.

        Args:
          tokens: the tokens.
          lengths: the number of each row's tokens; those after them are padding, which no cache keeps.
            None: all.
          segments: the number of the document that each token belongs to, where a row holds several, one
            after the other: a token sees none of another document. Positions count through the row. None:
            one document.
          cache: of the tokens before these ones.
          dropout: of embeddings, weights and layers.
          capture: the weights to return, by the path of their layer ("blocks.1.attention"), and the vectors
            ("embedding", "blocks.1", "norm"); or `Taps`.

        Raises:
          TypeError: The tokens are not integers.
          ValueError: Shapes do not fit, the cache is full, segments come with a cache, a capture is out of
            range.
        """
        if tokens.ndim != 2:
            raise ValueError(f"tokens {list(tokens.shape)}: expected (B, T)")
        if segments is not None and (cache is not None or segments.shape != tokens.shape):
            raise ValueError(
                f"segments {list(segments.shape)}: expected {list(tokens.shape)}, as the tokens, and no cache"
            )
        if isinstance(capture, Capture):
            capture.require_within("layers", len(self.blocks))
        offset = 0 if cache is None else cache.length
        captured = Captured(capture, "blocks")
        x, tail = self._embedded(tokens, lengths, segments, cache, captured)
        mask = masks.causal(offset)
        if segments is not None:
            mask = mask & masks.segments(segments)
        if lengths is not None:
            mask = mask & masks.lengths(key=offset + lengths)
        x = x if dropout is None else dropout.fold("embedding")(x)
        score = None if self.score is None else self.score(offset)
        kept: list[KVCache | StateCache] = []
        x = captured.add("embedding", x)
        depth = Depth()

        def apply(block: Any, x: Array, i: Any, **more: Any) -> BlockOutput:
            called = recomputed(block, self.config.recomputes)
            output: BlockOutput = called(
                x, mask=mask, score=score, dropout=folded(dropout, i), depth=depth, **more
            )
            return output

        if isinstance(self.blocks, StackedBlocks) and cache is None and captured.nothing:
            x = scanned(self.blocks, x, lambda block, x, i: apply(block, x, i).out)
        else:
            for i, block in enumerate(self.blocks):
                before = None if cache is None else cache.layers[i]
                x, left, weights = apply(block, x, i, cache=before, capture=captured.layer(i))
                if left is not None:
                    kept.append(left)
                captured.add_layer(i, x, weights)
        x = read_out(self.norm, x, depth)
        x = captured.add("norm", x)
        logits = tapped(captured.sites, "logits", self._logits(x))
        left_cache = None if cache is None else LanguageModelCache(tuple(kept), tail)
        return ModelOutput(logits, left_cache, captured.weights, captured.hidden, captured.taps)

    def init_cache(self, batch: int, length: int) -> LanguageModelCache:
        """Returns an empty cache for `length` tokens of `batch` sequences.

        Raises:
          ValueError: There are learned positions, but not so many.
        """
        self.embedding.require_rows(length)
        dtype = jnp.dtype(self.config.dtype)
        slots = slots_for(length)
        layers = tuple(block.attention.empty_cache((batch,), slots, dtype) for block in self.blocks)
        width, dim = self.config.convolution, self.config.dim
        return LanguageModelCache(
            layers, None if width is None else jnp.zeros((batch, width - 1, dim), dtype)
        )

    def start(
        self, prompt: Int[Array, "B S"], lengths: Int[Array, " B"], *, bos: Int[Array, ""] | None, room: int
    ) -> tuple[Int[Array, " B"], LanguageModelCache]:
        """Returns the last token of each prompt, and the cache of those before it.

        Args:
          prompt: the tokens, padded on the right.
          lengths: of the prompts, 1 or more.
          bos: not used, a prompt begins itself.
          room: the number of tokens after the prompt for which the cache has slots.

        Raises:
          ValueError: Shapes do not fit, or there are learned positions, but not so many.
        """
        if prompt.ndim != 2 or lengths.shape != prompt.shape[:1]:
            raise ValueError(
                f"prompt {list(prompt.shape)}, lengths {list(lengths.shape)}: expected (B, S), (B,)"
            )
        empty = self.init_cache(prompt.shape[0], prompt.shape[1] - 1 + room)
        cache = self(prompt, lengths=lengths - 1, cache=empty).cache
        assert cache is not None
        return jnp.take_along_axis(prompt, lengths[:, None] - 1, axis=1)[:, 0], cache

    def extend(
        self, tokens: Int[Array, "B T"], cache: LanguageModelCache
    ) -> tuple[Float[Array, "B T V"], LanguageModelCache, Float[Array, "B T D"]]:
        """Returns the logits of the token after each of these, the cache with them, their last vectors."""
        output = self(tokens, cache=cache, capture=Capture(layers=(), hidden=True))
        assert output.cache is not None
        return output.logits, output.cache, output.hidden["norm"]

    def _embedded(
        self,
        tokens: Int[Array, "B T"],
        lengths: Int[Array, " B"] | None,
        segments: Int[Array, "B T"] | None,
        cache: LanguageModelCache | None,
        captured: Captured,
    ) -> tuple[Float[Array, "B T D"], Float[Array, "B W-1 D"] | None]:
        """Returns the input of the first block, and the tail that the convolution leaves."""
        offset = 0 if cache is None else cache.length
        taps = within(captured.sites, "embedding")
        x = self.embedding(tokens, following(offset, tokens.shape[-1]), taps=taps)
        if self.convolution is None:
            return x, None
        before = None if cache is None else cache.tail
        near, tail = self.convolution(x, tail=before, lengths=lengths, segment_ids=segments)
        return x + near, tail

    def _logits(self, x: Float[Array, "B T D"]) -> Float[Array, "B T V"]:
        logits = self.embedding.attend(x) if self.output is None else self.output(x)
        cap = self.config.logit_softcap
        return logits if cap is None else cap * jnp.tanh(logits / cap)
