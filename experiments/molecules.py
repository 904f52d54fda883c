"""How soluble is a molecule: does attention along its bonds tell more than counts of its atoms?

    attnjax data fetch solubility               # once: 1,282 molecules, 0.5 MB; and `pip install rdkit`
    attnjax run solubility
    attnjax run solubility --data.test None --data.split scaffold
    attnjax run solubility --data.train mine.csv --data.test None         # columns smiles, value
    attnjax data fetch qm9                      # once: 130,831 molecules, 104 MB
    attnjax run qm9
    attnjax predict RUN "CCO" --details
    attnjax sweep solubility_sizes
    attnjax sweep solubility_attention

A graph attention network reads atoms (element, bonds, hydrogen, charge, rings) along bonds (their kind); the
vectors of the atoms are added up. `--model.mechanism` is gat, gatv2, graph_transformer, whose scores and
messages have what a bond holds, graphormer, or window(size=1), under which an atom sees itself alone.

The final table has the root mean square error, the mean absolute error and R² on the test molecules, beside
regressions without attention on counts of the same features. Then atoms are taken out in the order of
what each alone takes away, of integrated gradients, of attention, and at random: "gap" is how much more is
lost with atoms said to raise the number than with those said to lower it. The picture, and
SMILES.molecule.png of `attnjax predict`, has atoms coloured by what is lost without them.

Expect attention along bonds to be ahead of boosting by a little, and of window(size=1) by much:
docs/guides/molecules.md has measured numbers.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.config import require, user_cache
from attnjax.data.molecules.config import MoleculeData
from attnjax.experiment.registry import experiment
from attnjax.models.graph_config import GraphConfig
from attnjax.sweeps.registry import sweep
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.tasks.molecules.task import MoleculeTask

MODEL = GraphConfig(dim=32, heads=4, hidden=64, layers=3, mechanism="gatv2", pooling="sum")
TRAIN = TrainConfig(
    steps=1000,
    batch_size=64,
    log_every=50,
    checkpoint_every=250,
    warmup_steps=50,
    learning_rate=5e-3,
    weight_decay=0.1,
    dropout=0.0,
)
_CORPORA = user_cache() / "corpora"
DATA = MoleculeData(train=_CORPORA / "solubility_train.sdf", test=_CORPORA / "solubility_test.sdf")
QM9 = MoleculeData(train=_CORPORA / "qm9.csv", value="homo_lumo_gap", split="random")
SEEDS = range(3)


@experiment(name="solubility")
@dataclass(frozen=True)
class Solubility:
    """Tell how soluble a molecule is in water, or another number of molecules of your own."""

    model: GraphConfig = MODEL
    data: MoleculeData = DATA
    train: TrainConfig = TRAIN
    explained: int = 64
    """Molecules of the test from which atoms are taken out, for rows of the final table; 0: none."""
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def __post_init__(self) -> None:
        require(self.explained >= 0, f"explained is {self.explained}: it must be 0 or more")

    def task(self, folder: Path | None = None) -> "MoleculeTask":
        from attnjax.explain.of_molecule import atom_scores
        from attnjax.tasks.molecules.task import MoleculeTask

        return MoleculeTask(
            self.data,
            self.model,
            batch_size=self.train.batch_size,
            steps=self.train.steps,
            accumulate=self.train.accumulate,
            explained=self.explained,
            folder=folder,
            maps=atom_scores,
        )


@experiment(name="qm9")
def qm9() -> Solubility:
    """Tell the gap between a molecule's highest occupied orbital and its lowest empty one, in eV (QM9)."""
    model = replace(MODEL, dim=64, hidden=128, layers=4, pooling="mean")
    train = replace(
        TRAIN,
        steps=4000,
        batch_size=128,
        log_every=100,
        checkpoint_every=1000,
        warmup_steps=200,
        learning_rate=2e-3,
    )
    return replace(Solubility(), data=QM9, model=model, train=train)


_SHORT = {"train.steps": 400, "train.checkpoint_every": 400, "explained": 0}


@sweep(Solubility, metric="test/RMSE", mode="min", base=_SHORT)
def solubility_sizes() -> Iterator[dict[str, Any]]:
    """Heads, width or dropout: what decides how well solubility is told?

    2 × 2 × 2 settings with 3 seeds, 400 steps.
    """
    axes: dict[str, Any] = {
        "model.heads": (1, 4),
        "model.dim": (16, 32),
        "train.dropout": (0.0, 0.1),
        "seed": SEEDS,
    }
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


@sweep(Solubility, metric="test/RMSE", mode="min", base=_SHORT)
def solubility_attention() -> Iterator[dict[str, Any]]:
    """What does looking along bonds bring, and which attention looks best?

    Three kinds of attention along bonds, one among all atoms, and none, with 3 seeds, 400 steps.
    """
    for mechanism in ("gat", "gatv2", "graph_transformer", "graphormer", "window(size=1)"):
        for seed in SEEDS:
            yield {"model.mechanism": mechanism, "seed": seed}


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
