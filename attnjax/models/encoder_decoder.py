"""The encoder-decoder Transformer."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.models.config import TransformerConfig
from attnjax.models.factory import Parts
from attnjax.models.output import Captured, ModelOutput, sites_of
from attnjax.models.padding import Present, key_mask, places
from attnjax.models.pointer_generator import PointerGenerator
from attnjax.models.scanned import scanned
from attnjax.models.source_reader import SourceReader
from attnjax.models.target_writer import DecoderCache, TargetWriter
from attnjax.nn import Capture, Depth, Dropout, KeysValues, KVCache, StateCache, folded
from attnjax.nn.attention.placing import following
from attnjax.nn.blocks import BlockOutput, read_out
from attnjax.nn.recomputed import recomputed
from attnjax.nn.stacked import StackedBlocks
from attnjax.nn.taps import Asked, Request, Sites, tapped, within
from attnjax.ops import masks

_WEIGHTS = "cross_attention.weights"


class Transformer(SourceReader, TargetWriter):
    """An encoder-decoder over token ids.

    Its state is `nnx.Param`s only. Where a method takes capture, it returns the weights that it asks for, by
    the path of their layer ("decoder.1.cross_attention"); layers of another mechanism than softmax have none.
    Sources are padded on the right, or on either side where their lengths are given as a mask [B, S]; the
    contents of the padding do not matter, and positions count from the first token.

    Args:
      config: its shape.
      source_vocab, target_vocab: numbers of tokens; None where the source is frames of sound.

    References:
      Vaswani et al., Attention Is All You Need, 2017, arXiv:1706.03762.

    Example:
      >>> import jax.numpy as jnp
      >>> model = Transformer(TransformerConfig(dim=8), source_vocab=11, target_vocab=7, rngs=nnx.Rngs(0))
      >>> source, target = jnp.ones((2, 5), int), jnp.ones((2, 3), int)
      >>> model(source, jnp.array([5, 4]), target).logits.shape
      (2, 3, 7)
    """

    continues: ClassVar[bool] = False

    def __init__(
        self, config: TransformerConfig, *, source_vocab: int | None, target_vocab: int, rngs: nnx.Rngs
    ) -> None:
        self.config = config
        parts = Parts(config, rngs)
        self.source_embedding: Any = self._embedding_of_source(parts, source_vocab)
        shared = config.share_embeddings
        if shared and source_vocab != target_vocab:
            raise ValueError(
                f"source_vocab {source_vocab}, target_vocab {target_vocab}: share_embeddings needs equal ones"
            )
        self.target_embedding = parts.embedding(None if shared else target_vocab)
        layers, own, cross = config.encoder_layers, config.decoder_layers, config.cross_mechanism
        self.encoder = parts.stack(lambda i: parts.encoder_block(i, layers), layers)
        self.decoder = parts.stack(lambda i: parts.decoder_block(i, own, cross_mechanism=cross), own)
        self.encoder_score = parts.position_score(bidirectional=True)
        self.decoder_score = parts.position_score(bidirectional=False)
        self.encoder_norm = parts.read_out()
        self.decoder_norm = parts.read_out()
        self.output = None if config.tie_embeddings else parts.output(target_vocab)
        self.output_bias = nnx.data(parts.bias(target_vocab) if config.tied_bias else None)
        sizes = {"source_vocab": source_vocab, "target_vocab": target_vocab}
        copies = {**sizes, **parts.dtypes, "rngs": rngs}
        self.copying = PointerGenerator(config.dim, **copies) if config.copy else None

    def __call__(
        self,
        source: Int[Array, "B S"] | Float[Array, "B S F"],
        source_lengths: Present,
        target: Int[Array, "B T"],
        *,
        segments: Int[Array, "B T"] | None = None,
        dropout: Dropout | None = None,
        capture: Asked = None,
    ) -> ModelOutput[DecoderCache]:
        """Returns the logits of the token after each target token, given those up to it (teacher forcing).

        Where rows hold several pairs, `source_lengths` and `segments` have the number of each token's pair.
        One capture is for both stacks: a layer or a row that only one of them has is left out of the other.

        Raises:
          TypeError: The source or the target is not integer.
          ValueError: Shapes do not fit, or a capture is out of range in both stacks.
        """
        sites = sites_of(capture)
        encoder: Capture | Sites | None = sites
        decoder: Capture | Sites | None = sites
        if isinstance(capture, Capture):
            encoder, decoder = self._captures(capture, self._vectors(source), target.shape[-1])
        memory, weights, hidden, _ = self.encode(source, source_lengths, dropout=dropout, capture=encoder)
        copied = None if self.copying is None else source
        more: dict[str, Any] = {"segments": segments, "dropout": dropout, "capture": decoder}
        decoded = self.decode(target, memory, source_lengths, source=copied, **more)
        if sites is not None:
            sites.require_known()
            return decoded._replace(taps=sites.found)
        return decoded._replace(weights=weights | decoded.weights, hidden=hidden | decoded.hidden)

    def decode(
        self,
        target: Int[Array, "B T"],
        memory: Float[Array, "B S D"] | None,
        source_lengths: Present,
        *,
        source: Int[Array, "B S"] | None = None,
        whole: Present | None = None,
        segments: Int[Array, "B T"] | None = None,
        cache: DecoderCache | None = None,
        dropout: Dropout | None = None,
        capture: Asked = None,
    ) -> ModelOutput[DecoderCache]:
        """Returns the logits of the token after each target token.

        Args:
          target: the tokens, the first of which is the begin mark; with a cache, those after it.
          memory: from `encode`; with a cache it is not used and may be None.
          source_lengths: tokens of each source, or True where there is one.
          source: its tokens, where these are copied and there is no cache.
          whole: tokens of each target, all of which a token then sees, also those after it; None: it sees
            those up to it.
          segments: the number of each token's pair, where rows hold several; without a cache.
          cache: earlier tokens of the target, to which these are appended.
          dropout: of embeddings, weights and layers; None: there is none.
          capture: the weights of the decoder to return.

        Raises:
          TypeError: The target is not integer.
          ValueError: Shapes do not fit, the cache is full, a capture is out of range, or tokens are copied
            and there is no source.
        """
        sources = self._sources(memory, cache)
        if isinstance(capture, Capture):
            capture.require_within("layers", len(self.decoder))
        offset = 0 if cache is None else cache.length
        dropout = folded(dropout, "decoder")
        shared = self.source_embedding if self.config.share_embeddings else None
        captured = Captured(capture, "decoder")
        taps = within(captured.sites, "target_embedding")
        at = following(offset, target.shape[-1]) if segments is None else places(segments)
        x = self.target_embedding(target, at, shared=shared, taps=taps)
        x = x if dropout is None else dropout.fold("embedding")(x)
        score = None if self.decoder_score is None else self.decoder_score(offset)
        mask = masks.causal(offset) if whole is None else key_mask(whole)
        mask = mask if segments is None else mask & masks.segments(segments)
        seen = key_mask(source_lengths, segments)
        looked: Array | None = None
        own: list[KVCache | StateCache] = []
        x = captured.add("target_embedding", x)
        depth = Depth()

        def apply(block: Any, x: Array, i: Any, read: Any, **more: Any) -> BlockOutput:
            called = recomputed(block, self.config.recomputes)
            output: BlockOutput = called(
                x,
                read,
                mask=mask,
                context_mask=seen,
                score=score,
                dropout=folded(dropout, i),
                depth=depth,
                **more,
            )
            return output

        if isinstance(self.decoder, StackedBlocks) and cache is None and captured.nothing:
            x = scanned(self.decoder, x, lambda block, x, i: apply(block, x, i, sources[0]).out)
        else:
            for i, block in enumerate(self.decoder):
                asked = captured.layer(i)
                copies = self.copying is not None and i == len(self.decoder) - 1
                before = None if cache is None else cache.own[i]
                inner = _with_weights(asked) if copies else asked
                x, kept, weights = apply(block, x, i, sources[i], cache=before, capture=inner)
                if copies:
                    looked, weights = _looked(asked, inner, weights)
                if kept is not None:
                    own.append(kept)
                captured.add_layer(i, x, weights)
        x = read_out(self.decoder_norm, x, depth)
        x = captured.add("decoder_norm", x)
        logits = self._logits(x)
        if self.copying is not None:
            copied = source if cache is None else cache.copied
            if copied is None or looked is None:
                raise ValueError("source None: its tokens are copied, expected them (B, S)")
            logits = self.copying(x, logits, looked, copied)
        logits = tapped(captured.sites, "logits", logits)
        kept_cache = None if cache is None else replace(cache, own=tuple(own))
        return ModelOutput(logits, kept_cache, captured.weights, captured.hidden, captured.taps)

    def _captures(self, capture: Capture, source: int, target: int) -> tuple[Capture, Capture]:
        """Returns the capture as the encoder and the decoder see it."""
        encoder = decoder = capture
        sizes = {"layers": (len(self.encoder), len(self.decoder)), "rows": (source, target)}
        for name, (encoded, decoded) in sizes.items():
            capture.require_within(name, max(encoded, decoded))
            encoder, decoder = encoder.within(name, encoded), decoder.within(name, decoded)
        return encoder, decoder

    def _sources(self, memory: Array | None, cache: DecoderCache | None) -> Sequence[Array | KeysValues]:
        """Returns the source of each layer's cross-attention."""
        if cache is not None:
            return cache.source
        if memory is None:
            raise ValueError("memory None: it can be left out only with a cache")
        return [memory] * len(self.decoder)

    def _logits(self, x: Float[Array, "B T D"]) -> Float[Array, "B T V"]:
        if self.output is not None:
            return self.output(x)
        config = self.config
        embedding = self.source_embedding if config.share_embeddings else self.target_embedding
        logits = embedding.attend(x)
        logits = logits if config.tied_scale == 1 else logits * config.tied_scale
        return logits if self.output_bias is None else logits + self.output_bias[...]


def _with_weights(asked: Request) -> Capture | Sites:
    """Returns what a layer is asked for whose attention to the source is needed as well."""
    return asked.reading(_WEIGHTS) if isinstance(asked, Sites) else Capture()


def _looked(
    asked: Request, inner: Request, weights: Mapping[str, Array]
) -> tuple[Float[Array, "B N T S"], dict[str, Array]]:
    """Returns a layer's attention to the source, and those of its weights that it was asked for."""
    if isinstance(asked, Sites) and isinstance(inner, Sites):
        asked.take_in(inner.found)
        return inner.found[inner.path + _WEIGHTS], {}
    own = {name: asked.of_weights(w) for name, w in weights.items()} if isinstance(asked, Capture) else {}
    return weights["cross_attention"], own
