"""Does attention find what a user took long ago, and does it beat popularity on real ratings?

    attnjax run recommendation
    attnjax run recommendation --model.mechanism "window(size=8)"
    attnjax run recommendation --model.mechanism hstu --model.time_buckets 32 --loss.kind gbce
    attnjax run recommendation --model.causal False --loss.masked 0.2        # BERT4Rec
    attnjax run recommendation --data.log mine.csv --data.exclude_seen True
    attnjax predict recommendation --user 7 -k 10
    attnjax data fetch ml_100k                                                # once: 2.1 MB
    attnjax run movielens
    attnjax run interest                                                      # DIN
    attnjax sweep planted_histories
    attnjax sweep movielens_mechanisms

SASRec (Kang & McAuley, 2018) with any mechanism reads the items that a user took and ranks all others; what
counts is the place of the item that came next. No negatives are sampled when it is ranked: with 100 of them
BERT4Rec scores .601 on ML-1M where its rank among all items gives .152. The best validation is what is
evaluated.

The generated log plants a preference of long ago: half of the 40 groups of items have a sequel, a group that
is due 16 events later or more, and of which an item comes with probability 0.8 when one is due. So the best
possible score is known, and what reads the last 8 events alone cannot reach it. On ml-100k the bar is
popularity, HR@10 .086 and NDCG@10 .045; the bigram is a higher one.

Expect SASRec to pass popularity on ml-100k by far in two minutes on two CPU cores, and the bigram by a little
(NDCG@10 .084 beside .077), and to need long on the generated log: after 800 steps it has .077, as the bigram
does, where the best possible ranking has .193. `docs/studies.md` has the tables.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from attnjax.config import user_cache
from attnjax.data.interactions.config import InteractionData
from attnjax.experiment.registry import experiment
from attnjax.models.recommender_config import InterestConfig, RecommenderConfig
from attnjax.sweeps.registry import sweep
from attnjax.tasks.recommendation.config import ItemLossConfig
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.tasks.recommendation.interest import InterestTask
    from attnjax.tasks.recommendation.task import RecommendationTask

ML_100K = user_cache() / "corpora" / "ml_100k.inter"
TITLES = user_cache() / "corpora" / "ml_100k.item"
MODEL = RecommenderConfig(
    dim=64, heads=2, layers=2, hidden=128, positions="learned", max_length=64, embedding_scale=1.0
)
TRAIN = TrainConfig(
    steps=1500, batch_size=128, checkpoint_every=250, warmup_steps=100, learning_rate=3e-3, dropout=0.1
)
SEEDS = range(2)
SMALL: dict[str, Any] = {
    "model.dim": 32,
    "model.hidden": 64,
    "train.steps": 800,
    "train.batch_size": 64,
    "train.checkpoint_every": 100,
    "train.learning_rate": 1e-2,
}
REGULAR: dict[str, Any] = {"train.steps": 600, "train.learning_rate": 3e-3, "train.dropout": 0.3}
"""For 943 users, which a model soon knows by heart."""
MECHANISMS: tuple[dict[str, Any], ...] = (
    {},
    {"model.mechanism": "window(size=8)"},
    {"model.mechanism": "gated_delta_net"},
    {"model.mechanism": "hstu", "model.time_buckets": 32},
)


@experiment
@dataclass(frozen=True)
class Recommendation:
    """Rank what a user takes next, on a generated log with a preference of long ago, or on yours."""

    model: RecommenderConfig = MODEL
    data: InteractionData = InteractionData(length=48, exclude_seen=False)
    train: TrainConfig = TRAIN
    loss: ItemLossConfig = ItemLossConfig()
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""
    weights: ClassVar[str] = "best"

    def task(self, folder: Path | None = None) -> "RecommendationTask":
        from attnjax.tasks.recommendation.task import RecommendationTask

        return RecommendationTask(self.data, self.model, loss=self.loss, batch_size=self.train.batch_size)


@experiment(name="movielens")
@dataclass(frozen=True)
class MovieLens:
    """Rank the next film of each user of ml-100k, which `attnjax data fetch ml_100k` fetches."""

    model: RecommenderConfig = MODEL
    data: InteractionData = InteractionData(log=ML_100K, titles=TITLES, length=50)
    train: TrainConfig = TRAIN
    loss: ItemLossConfig = ItemLossConfig()
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""
    weights: ClassVar[str] = "best"

    def task(self, folder: Path | None = None) -> "RecommendationTask":
        from attnjax.tasks.recommendation.task import RecommendationTask

        return RecommendationTask(self.data, self.model, loss=self.loss, batch_size=self.train.batch_size)


@experiment(name="interest")
@dataclass(frozen=True)
class Interest:
    """Rank the next film of each user by a Deep Interest Network, which reads for each candidate anew."""

    model: InterestConfig = InterestConfig()
    data: InteractionData = InteractionData(log=ML_100K, titles=TITLES, length=50)
    train: TrainConfig = TRAIN
    loss: ItemLossConfig = ItemLossConfig("bce", negatives=16)
    seed: int = 0
    """Decides the initial parameters; the data has a seed of its own."""
    weights: ClassVar[str] = "best"

    def task(self, folder: Path | None = None) -> "InterestTask":
        from attnjax.tasks.recommendation.interest import InterestTask

        return InterestTask(self.data, self.model, loss=self.loss, batch_size=self.train.batch_size)


@sweep(Recommendation, metric="model/NDCG@10", mode="max")
def planted_histories() -> Iterator[dict[str, Any]]:
    """Which mechanism finds what is long ago, and how much history does it need?

    4 mechanisms × 2 lengths × 2 seeds, 800 steps of a narrow model; a sequel is due after 16 events or more.
    """
    for length in (12, 48):
        for mechanism in MECHANISMS:
            for seed in SEEDS:
                yield {"data.length": length, **mechanism, **SMALL, "seed": seed}


@sweep(MovieLens, metric="model/NDCG@10", mode="max")
def movielens_mechanisms() -> Iterator[dict[str, Any]]:
    """Which mechanism ranks films best, and how much history does it need?

    4 mechanisms × 2 lengths × 2 seeds, 600 steps of a narrow model.
    """
    for length in (12, 50):
        for mechanism in MECHANISMS:
            for seed in SEEDS:
                yield {"data.length": length, **mechanism, **SMALL, **REGULAR, "seed": seed}


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
