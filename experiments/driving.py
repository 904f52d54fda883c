"""Does a car that predicts others look at the one that matters, and how much does that bring?

    attnjax run driving
    attnjax run driving --data.kinds merge --model.modes 6
    attnjax run driving --data.train tracks.csv      # scene,car,time,x,y in metres
    attnjax predict RUN "0,0 5,0 10,0 15,0 20,0 25,0; 30,0 34,0 37,0 39,0 40,0 40,0" --details
    attnjax sweep driving_sizes
    attnjax sweep driving_attention

Scenes of traffic are driven by rules: car 0 follows one that brakes, merges before or behind one, or gives
way at a crossing; up to four other cars pass by, follow far behind or are parked. Which car it minds is
known, and whether it matters: the same scene is driven without it. Three seconds are seen, with each car's
lane ahead, and four are predicted in three futures.

The final table has minADE, minFDE and the share of missed cars (last place more than 2 m off), for moving
cars apart from standing ones, which hide what is gained; constant velocity and constant acceleration beside
them, and for car 0 the rules themselves with the minded car left out, the best that one can do without
looking at it. Scenes with more cars than training has are a row too. Then comes what finds the minded car:
attention, the car without which the prediction moves most, the nearest car, and a random order.

Expect attention to be far better than constant velocity where the other car matters, and window(size=1),
under which a car sees itself alone, to be between the two. docs/guides/driving.md has measured numbers.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.data.driving.config import DrivingData
from attnjax.experiment.registry import experiment
from attnjax.models.agents_config import AgentsConfig
from attnjax.sweeps.registry import sweep
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.tasks.driving.task import DrivingTask

MODEL = AgentsConfig(dim=64, heads=4, hidden=128, layers=2)
TRAIN = TrainConfig(
    steps=1000,
    batch_size=128,
    log_every=100,
    checkpoint_every=500,
    warmup_steps=50,
    learning_rate=3e-3,
    dropout=0.0,
)
SEEDS = range(3)


@experiment
@dataclass(frozen=True)
class Driving:
    """Predict where cars will be, by attention among them."""

    model: AgentsConfig = MODEL
    data: DrivingData = DrivingData()
    train: TrainConfig = TRAIN
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def task(self, folder: Path | None = None) -> "DrivingTask":
        from attnjax.tasks.driving.task import DrivingTask

        return DrivingTask(self.data, self.model, batch_size=self.train.batch_size)


_SHORT = {"train.steps": 400, "train.checkpoint_every": 400, "train.warmup_steps": 40}


@sweep(Driving, metric="model: moving/minADE m", mode="min", base=_SHORT)
def driving_sizes() -> Iterator[dict[str, Any]]:
    """Heads, width or dropout: what decides how well moving cars are predicted?

    2 × 2 × 2 settings with 3 seeds, 400 steps.
    """
    axes: dict[str, Any] = {
        "model.heads": (1, 4),
        "model.dim": (32, 64),
        "train.dropout": (0.0, 0.1),
        "seed": SEEDS,
    }
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


@sweep(Driving, metric="model: car 0, it matters/minADE m", mode="min", base=_SHORT)
def driving_attention() -> Iterator[dict[str, Any]]:
    """What does looking at other cars bring, and which attention finds the car that matters?

    Softmax, entmax and no attention at all, with 3 seeds, 400 steps.
    """
    for mechanism in ("softmax", "entmax", "window(size=1)"):
        for seed in SEEDS:
            yield {"model.mechanism": mechanism, "seed": seed}


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
