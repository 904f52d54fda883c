"""The encoder-decoder that writes what an image shows."""

from typing import Any

from flax import nnx
from jaxtyping import Array, Float

from attnjax.models.captioner_config import CaptionerConfig
from attnjax.models.encoder_decoder import Transformer
from attnjax.models.factory import Parts
from attnjax.models.source_reader import SourceReader
from attnjax.nn.patches import resized


class ImageEmbedding(nnx.Module):
    """The vectors of an image's patches, row by row, with learned positions.

    Images of other sizes have the positions in between, as `VisionTransformer` has them.

    Args:
      config: of the model.
      parts: makes the map of patches.
    """

    def __init__(self, config: CaptionerConfig, parts: Parts) -> None:
        self.patches = parts.patches()
        side = config.image // config.patch
        self.positions = parts.learned(side, side, axes=("position", "position"))

    def __call__(self, images: Float[Array, "B Y X C"], places: Any = None) -> Float[Array, "B P D"]:
        """Returns the vectors; `places` of padded rows mean nothing here, since a grid has none."""
        grid = self.patches(images)
        batch, height, width, dim = grid.shape
        table = resized(self.positions[...], height, width).astype(grid.dtype)
        return (grid + table).reshape(batch, height * width, dim)


class ImageReader(SourceReader):
    """The half of a captioner that reads: blocks over the vectors of an image."""

    config: CaptionerConfig

    def _embedding_of_source(self, parts: Parts, source_vocab: int | None) -> ImageEmbedding:
        return ImageEmbedding(self.config, parts)

    def _require_source(self, source: Array) -> None:
        if source.ndim != 4:
            raise ValueError(f"source {list(source.shape)}: expected (B, height, width, channels)")

    def _vectors(self, source: Array) -> int:
        size = self.config.patch
        return (source.shape[1] // size) * (source.shape[2] // size)


class Captioner(ImageReader, Transformer):
    """An encoder-decoder whose source is images: blocks over patches or convolutions, and a decoder.

    All that a `Transformer` decodes with, beams too, is the same; `source_lengths` are the patches of each
    image. Its decoder is blocks; `RecurrentCaptioner` has an LSTM or GRU, as Show, Attend and Tell.

    Args:
      config: its shape.
      target_vocab: the number of tokens of captions.

    References:
      Dosovitskiy et al., An Image is Worth 16x16 Words, 2020, arXiv:2010.11929.

    Example:
      >>> import jax.numpy as jnp
      >>> config = CaptionerConfig(dim=8, image=8, patch=4)
      >>> model = Captioner(config, target_vocab=7, rngs=nnx.Rngs(0))
      >>> images, captions = jnp.ones((2, 8, 12, 3)), jnp.ones((2, 3), int)
      >>> model(images, jnp.array([6, 6]), captions).logits.shape
      (2, 3, 7)
    """

    config: CaptionerConfig

    def __init__(self, config: CaptionerConfig, *, target_vocab: int, rngs: nnx.Rngs) -> None:
        super().__init__(config, source_vocab=None, target_vocab=target_vocab, rngs=rngs)
