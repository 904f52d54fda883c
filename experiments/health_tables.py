"""Does attention over the columns of a table of patients tell more than trees and a logistic regression?

    attnjax data fetch support2 framingham            # once: both tables, 2.8 MB
    attnjax run support2
    attnjax run framingham
    attnjax run support2 --data.train mine.csv --data.target died --data.person id
    attnjax predict RUN "age=62, sex=female, meanbp=55"
    attnjax sweep health_sizes

An FT-Transformer (Gorishniy et al., 2021) reads a token for each column, and one of its own where the value
is missing. support2: who of 9,105 seriously ill adults dies in hospital, by what is known in the first three
days. framingham: who gets coronary heart disease within ten years of an exam; a person has up to three exams,
and all are in one part. Columns that are known later, or that judge the risk, are left out by name.

The final table has AUROC, AUPRC, calibration error and Brier score of the test persons, of baselines without
attention (a logistic regression, and gradient boosting where scikit-learn is installed), of subgroups by sex
and age, and the importance of each column: the mean of |integrated gradients| from a row where all is
missing, with what the probability loses as columns are made missing in that order. It is a study of methods,
nothing for the clinic: docs/guides/health_tables.md says who is missing in the data.

Expect no model to be ahead by more than chance on support2, and boosting behind the others on framingham:
docs/guides/health_tables.md has measured numbers.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.config import require, user_cache
from attnjax.data.tables.config import TableData
from attnjax.experiment.registry import experiment
from attnjax.models.table_config import TableConfig
from attnjax.sweeps.registry import sweep
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.tasks.tables.task import TableTask

MODEL = TableConfig(dim=32, heads=4, hidden=64, layers=2, activation="reglu")
TRAIN = TrainConfig(
    steps=600,
    batch_size=128,
    log_every=50,
    checkpoint_every=100,
    warmup_steps=60,
    learning_rate=1e-3,
    weight_decay=0.01,
    dropout=0.2,
)
SUPPORT2 = TableData(
    train=user_cache() / "corpora" / "support2.csv",
    target="hospdead",
    positive="1",
    person="sno",
    left_out=(
        *("death", "slos", "d.time", "sfdm2"),  # Known when it is over.
        *("charges", "totcst", "totmcst", "avtisst"),  # Costs and care of the whole stay.
        *("surv2m", "surv6m", "prg2m", "prg6m", "sps", "aps"),  # Judgements and scores of the risk.
        *("dnr", "dnrday"),  # Decisions on resuscitation.
        *(
            "adlp",
            "adls",
            "adlsc",
        ),  # Interviews of those who could give one, and what was put in their place.
    ),
    categorical=("diabetes", "dementia"),
    subgroups=("sex", "age"),
)
FRAMINGHAM = TableData(
    train=user_cache() / "corpora" / "framingham.csv",
    target="CHD10",
    positive="yes",
    person="RANDID",
    left_out=("PERIOD",),
    categorical=("SEX", "CURSMOKE", "DIABETES", "BPMEDS", "educ", "PREVSTRK", "PREVHYP"),
    subgroups=("SEX", "AGE"),
)
SEEDS = range(3)


@experiment(name="support2")
@dataclass(frozen=True)
class HealthTable:
    """Tell who of seriously ill adults dies in hospital, or a label of a table of your own."""

    model: TableConfig = MODEL
    data: TableData = SUPPORT2
    train: TrainConfig = TRAIN
    explained: int = 32
    """Rows of the test whose label is explained, for the importance of columns; 0: there are no such rows."""
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def __post_init__(self) -> None:
        require(self.explained >= 0, f"explained is {self.explained}: it must be 0 or more")

    def task(self, folder: Path | None = None) -> "TableTask":
        from attnjax.tasks.tables.task import TableTask

        return TableTask(
            self.data,
            self.model,
            batch_size=self.train.batch_size,
            folder=folder,
            account=partial(important, count=self.explained) if self.explained else None,
        )


@experiment(name="framingham")
def framingham() -> HealthTable:
    """Tell who gets coronary heart disease within ten years of an exam."""
    return replace(HealthTable(), data=FRAMINGHAM)


def important(model: Any, test: Any, names: Any, *, count: int) -> dict[str, dict[str, float]]:
    """Returns the importance and rank of each column, and how faithful three orders of columns are.

    A column that is removed is missing, which training knows.
    """
    import jax.numpy as jnp
    import numpy as np

    from attnjax.config import InputError
    from attnjax.explain import Target, ask, attribute
    from attnjax.explain.faithfulness import faithfulness

    # From all over the test: tables are often sorted, this one by the phase of its study.
    every = test["values"]
    values = every[np.linspace(0, len(every) - 1, min(count, len(every))).astype(int)]
    question = ask(model, values)
    nothing = question.with_tokens(jnp.full(values.shape, jnp.nan)).vectors()
    label = jnp.asarray(question.target.index)
    margin = question.with_target(Target(label, against=1 - label))
    maps = {"integrated_gradients": attribute("integrated_gradients", margin, baseline=nothing, steps=16)}
    for name in ("raw", "rollout"):
        try:
            maps[name] = attribute(name, margin)
        except InputError:  # It is not defined for such a mechanism, and has no row.
            continue
    found = faithfulness(
        question.with_target(Target(label, "probability")),
        maps,
        ("comprehensiveness", "sufficiency", "aopc"),
        baseline=nothing,
        orders=5,
        beam=2,
    )
    rows = {f"order by {row}" if row in maps else row: columns for row, columns in found.table.items()}
    sizes = np.abs(np.asarray(maps["integrated_gradients"].scores)).mean(0)
    ranks = np.argsort(np.argsort(-sizes)) + 1
    for i in np.argsort(ranks):
        rows[f"column {names[i]}"] = {"importance": float(sizes[i]), "rank": float(ranks[i])}
    return rows


@sweep(
    HealthTable,
    metric="test/AUROC",
    mode="max",
    base={"train.steps": 300, "train.warmup_steps": 30, "explained": 0},
)
def health_sizes() -> Iterator[dict[str, Any]]:
    """Heads, width or dropout: what decides who is told to die in hospital?

    2 × 2 × 3 settings with 3 seeds, 300 steps.
    """
    axes: dict[str, Any] = {
        "model.heads": (2, 8),
        "model.dim": (16, 48),
        "train.dropout": (0.0, 0.2, 0.4),
        "seed": SEEDS,
    }
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
