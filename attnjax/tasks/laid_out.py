"""Images and graphs with answers."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import jax
from flax import nnx
from jaxtyping import Array, Float

from attnjax.config import require
from attnjax.data.graphs.nearest import Nearest
from attnjax.data.images.config import CELL
from attnjax.data.images.mosaics import Mosaics
from attnjax.data.synthetic.questions import Split, stream
from attnjax.models.graph import GraphModel
from attnjax.models.graph_config import GraphConfig
from attnjax.models.vision import VisionTransformer
from attnjax.models.vision_config import VisionConfig
from attnjax.nn.dropout import Dropout
from attnjax.tasks.base import Arrays, Evaluation, Params
from attnjax.tasks.config import CROSS_ENTROPY, CrossEntropyConfig
from attnjax.tasks.drawn import DrawnTask

Account = Callable[[VisionTransformer, Arrays], Mapping[str, Mapping[str, float]]]
"""A function from the trained model and `Mosaics.planted` test images to further rows of the table."""


class MosaicTask(DrawnTask[Mosaics, VisionTransformer]):
    """Trains a `VisionTransformer` to tell the answer to an image.

    Args:
      source: makes the images.
      config: the model's shape; its labels and channels are those of the source.
      loss: the loss's settings.
      batch_size: of all hosts together.
      account: adds rows to the final table, such as the faithfulness of attributions.

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
        account: Account | None = None,
    ) -> None:
        super().__init__(source, loss=loss, batch_size=batch_size)
        self._account = account
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

    def evaluate(self, params: Params, folder: Path) -> Evaluation:
        """Returns the percentages of right answers for every setting, samples, and the account's rows."""
        found = super().evaluate(params, folder)
        if self._account is None:
            return found
        config = self.source.config
        test = self.source.planted(config.evaluation_examples, stream(config.seed, Split.TEST))
        rows = self._account(self.model(params), test)
        return replace(found, metrics=found.metrics | {row: dict(own) for row, own in rows.items()})


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
