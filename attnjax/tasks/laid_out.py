"""Images and graphs with answers."""

from collections.abc import Mapping
from dataclasses import replace

import jax
from flax import nnx
from jaxtyping import Array, Float

from attnjax.config import require
from attnjax.data.graphs.nearest import Nearest
from attnjax.data.images.config import CELL
from attnjax.data.images.mosaics import Mosaics
from attnjax.models.graph import GraphModel
from attnjax.models.graph_config import GraphConfig
from attnjax.models.vision import VisionTransformer
from attnjax.models.vision_config import VisionConfig
from attnjax.nn.dropout import Dropout
from attnjax.tasks.config import CROSS_ENTROPY, CrossEntropyConfig
from attnjax.tasks.drawn import DrawnTask


class MosaicTask(DrawnTask[Mosaics, VisionTransformer]):
    """Trains a `VisionTransformer` to tell the answer to an image.

    Args:
      source: makes the images.
      config: the model's shape; its labels and channels are those of the source.
      loss: the loss's settings.
      batch_size: of all hosts together.

    Raises:
      InputError: the patches do not divide the cells of the images.
    """

    def __init__(
        self,
        source: Mosaics,
        config: VisionConfig,
        *,
        loss: CrossEntropyConfig = CROSS_ENTROPY,
        batch_size: int,
    ) -> None:
        super().__init__(source, loss=loss, batch_size=batch_size)
        require(CELL % config.patch == 0, f"model.patch is {config.patch}: it must divide cells of {CELL}")
        self.config = replace(config, labels=source.labels, channels=1)

    def build(self, rngs: nnx.Rngs) -> VisionTransformer:
        """Returns an encoder of images with a head of the answers."""
        return VisionTransformer(self.config, rngs=rngs)

    def logits_of(
        self, model: VisionTransformer, arrays: Mapping[str, jax.Array], dropout: Dropout | None = None
    ) -> Float[Array, "B L"]:
        """Returns the logits of the answers to "images"."""
        logits = model(arrays["images"], dropout=dropout).logits
        assert logits is not None
        return logits


class NearestTask(DrawnTask[Nearest, GraphModel]):
    """Trains a `GraphModel` to tell the answer of each node.

    Args:
      source: makes the graphs.
      config: the model's shape; its head and labels are those of the source.
      loss: the loss's settings.
      batch_size: of all hosts together.
    """

    whole = "graphs"

    def __init__(
        self,
        source: Nearest,
        config: GraphConfig,
        *,
        loss: CrossEntropyConfig = CROSS_ENTROPY,
        batch_size: int,
    ) -> None:
        super().__init__(source, loss=loss, batch_size=batch_size)
        self.config = replace(config, head="nodes", labels=source.labels)

    def build(self, rngs: nnx.Rngs) -> GraphModel:
        """Returns an encoder of graphs with a head of the answers."""
        return GraphModel(self.config, kinds=self.source.kinds, rngs=rngs)

    def logits_of(
        self, model: GraphModel, arrays: Mapping[str, jax.Array], dropout: Dropout | None = None
    ) -> Float[Array, "B V L"]:
        """Returns the logits of the answers of all nodes."""
        given = arrays["nodes"], arrays["edges"]
        logits = model(*given, lengths=arrays["lengths"], dropout=dropout).logits
        assert logits is not None
        return logits
