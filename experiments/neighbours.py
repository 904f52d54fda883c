"""Who can tell what stands beside what, in images and in graphs?

    attnjax run mosaic --model.mechanism "swin_window(size=2)+swin_window(size=2, shift=1)"
    attnjax run mosaic --model.mechanism axial --model.pooling pma
    attnjax run nearest --model.mechanism gat+graphormer
    attnjax sweep mosaic_mechanisms
    attnjax sweep nearest_mechanisms

A mosaic has a digit in each of 4 × 4 cells and a mark in one: the digit to its right is asked for. In a graph
four nodes have a colour each: every other node is asked which is nearest, up to two edges away. Both are
drawn anew at every step; the final table has wider images and larger graphs too.

The baselines have no attention: under window(size=1) a token sees itself alone, so that an image is the mean
of its patches and a node is what it is; fnet mixes all tokens, and a convolution those next to each other in
the order of tokens, which is along the rows of an image. In graphs softmax attends to all nodes and knows of
no edge. Who sees no neighbour guesses: a quarter of the colours, and of the digits, which can be counted all
the same, the commonest of its image (right for 23 %). The sweep of graphs takes 3 minutes of CPU, that of
images some three times as much.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.data.graphs.config import NearestData
from attnjax.data.images.config import MosaicData
from attnjax.experiment.registry import experiment
from attnjax.models.graph_config import GraphConfig
from attnjax.models.vision_config import VisionConfig
from attnjax.sweeps.registry import sweep
from attnjax.tasks.config import CrossEntropyConfig
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.tasks.laid_out import MosaicTask, NearestTask

TRAIN = TrainConfig(
    steps=600, batch_size=64, checkpoint_every=200, warmup_steps=50, learning_rate=3e-3, dropout=0.0
)
BASELINES = ("window(size=1)", "fnet")
CONVOLUTION = "convolution(width=3)"
OF_IMAGES = (
    *("softmax", "gla", "swin_window(size=2)+swin_window(size=2, shift=1)", "neighborhood_window(window=3)"),
    *("axial", "augmented_convolution", "deformable", "non_local", "squeeze_excite", "cbam", "eca"),
)
OF_GRAPHS = ("softmax", "gat", "gatv2", "graph_transformer", "graphormer")
SEEDS = range(3)


@experiment(name="mosaic")
@dataclass(frozen=True)
class Mosaic:
    """Tell the digit beside the mark in a mosaic, with an encoder of images of any mechanism."""

    model: VisionConfig = VisionConfig(
        dim=32, heads=2, hidden=64, layers=2, image=24, patch=6, class_token=False, pooling="mean"
    )
    data: MosaicData = MosaicData()
    train: TrainConfig = TRAIN
    loss: CrossEntropyConfig = CrossEntropyConfig()
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def task(self, folder: Path | None = None) -> "MosaicTask":
        from attnjax.data.images.mosaics import Mosaics
        from attnjax.tasks.laid_out import MosaicTask

        return MosaicTask(Mosaics(self.data), self.model, loss=self.loss, batch_size=self.train.batch_size)


@experiment(name="nearest")
@dataclass(frozen=True)
class NearestColour:
    """Tell the colour that is nearest to each node of a graph, with an encoder of graphs of any mechanism."""

    model: GraphConfig = GraphConfig(dim=32, heads=2, hidden=64, layers=2)
    data: NearestData = NearestData()
    train: TrainConfig = TRAIN
    loss: CrossEntropyConfig = CrossEntropyConfig()
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def task(self, folder: Path | None = None) -> "NearestTask":
        from attnjax.data.graphs.nearest import Nearest
        from attnjax.tasks.laid_out import NearestTask

        return NearestTask(Nearest(self.data), self.model, loss=self.loss, batch_size=self.train.batch_size)


@sweep(Mosaic, metric="as trained/answers %", mode="max")
def mosaic_mechanisms() -> Iterator[dict[str, Any]]:
    """Which mechanism tells what stands beside the mark?

    11 mechanisms, and 3 baselines without attention, with 3 seeds, 600 steps.
    """
    for mechanism in (*BASELINES, CONVOLUTION, *OF_IMAGES):
        for seed in SEEDS:
            yield {"model.mechanism": mechanism, "seed": seed}


@sweep(NearestColour, metric="as trained/answers %", mode="max")
def nearest_mechanisms() -> Iterator[dict[str, Any]]:
    """Which mechanism tells the nearest colour?

    5 mechanisms, of which softmax knows of no edges, and 2 baselines with 3 seeds, 600 steps.
    """
    for mechanism in (*BASELINES, *OF_GRAPHS):
        for seed in SEEDS:
            yield {"model.mechanism": mechanism, "seed": seed}


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
