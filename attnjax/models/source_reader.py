"""Sources that an encoder-decoder reads: tokens, frames of sound, or what a subclass makes vectors of."""

from typing import Any

from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.models.factory import Parts
from attnjax.models.output import Captured, Encoded
from attnjax.models.padding import Present, key_mask, places, require_present
from attnjax.models.stack import through
from attnjax.nn import Dropout, folded
from attnjax.nn.embedding import Embedding
from attnjax.nn.frames import FrameEmbedding
from attnjax.nn.taps import Asked, within


class SourceReader(nnx.Module):
    """The half of an encoder-decoder that reads: blocks over the vectors of a source."""

    config: Any
    source_embedding: Any
    encoder: Any
    encoder_score: Any
    encoder_norm: Any

    def encode(
        self,
        source: Int[Array, "B S"] | Float[Array, "B S F"],
        source_lengths: Present,
        *,
        dropout: Dropout | None = None,
        capture: Asked = None,
    ) -> Encoded:
        """Returns the source as vectors.

        Args:
          source: tokens, or frames of sound, of which two make one vector.
          source_lengths: vectors of each source, or True where there is one.
          dropout: of embeddings, weights and layers.
          capture: the weights and vectors of the encoder to return.

        Raises:
          TypeError: The source is not integer.
          ValueError: Shapes do not fit, or a capture is out of range.
        """
        self._require_source(source)
        require_present("source_lengths", source_lengths, (source.shape[0], self._vectors(source)))
        dropout = folded(dropout, "encoder")
        captured = Captured(capture, "encoder")
        tokens = isinstance(self.source_embedding, Embedding)
        inner = {"taps": within(captured.sites, "source_embedding")} if tokens else {}
        x = self.source_embedding(source, places(source_lengths), **inner)
        x = through(
            self.encoder,
            self.encoder_norm,
            x if dropout is None else dropout.fold("embedding")(x),
            mask=key_mask(source_lengths),
            score=None if self.encoder_score is None else self.encoder_score(),
            dropout=dropout,
            captured=captured,
            names=("source_embedding", "encoder_norm"),
            remat=self.config.recomputes,
        )
        return Encoded(x, captured.weights, captured.hidden, captured.taps)

    def _embedding_of_source(self, parts: Parts, source_vocab: int | None) -> Any:
        """Returns the module that makes vectors of a source."""
        frames = self.config.frames
        if (source_vocab is None) != (frames is not None):
            raise ValueError(f"source_vocab {source_vocab}: config.frames is {frames}, expected one of both")
        return parts.embedding(source_vocab) if frames is None else parts.frames()

    def _require_source(self, source: Array) -> None:
        """Raises ValueError for a source of another rank."""
        expected = "(B, S)" if self.config.frames is None else f"(B, S, {self.config.frames})"
        if source.ndim != expected.count(",") + 1:
            raise ValueError(f"source {list(source.shape)}: expected {expected}")

    def _vectors(self, source: Array) -> int:
        """Returns the number of vectors that a source makes."""
        rows: int = source.shape[1]
        return rows if self.config.frames is None else FrameEmbedding.length(rows)
