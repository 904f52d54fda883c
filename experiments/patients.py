"""Does attention over measurements at irregular times tell what comes, when it begins, and where?

    attnjax run patients                            # a planted deterioration: nothing is fetched
    attnjax data fetch nafld                        # once: 273,000 events of 17,549 persons, 6 MB
    attnjax run nafld                               # who dies within five years of a landmark day
    attnjax run patients --data.train events.csv --data.outcomes persons.csv --data.landmark 365
    attnjax predict RUN "-3 pulse 1.2, -1 pulse 4.5, -0.5 oxygen; age=62, sex=female"
    attnjax sweep patient_sizes
    attnjax sweep patient_times

A token is an event: a value of a sign, and waves of its time (mTAND's, whose frequencies are learned, or
sinusoids of real days); a class token reads them all. Persons are planted: one of five signs drifts before
the event, since a known time, and half of all persons had a passing excursion of another sign earlier on. So
the best possible score is known too. nafld has measurements and diagnoses over decades; events after the
landmark are not read, and whoever dies or leaves before it does not count.

The final table has AUROC, AUPRC, calibration error and Brier score of the test persons, of models without
attention (a logistic regression and, where scikit-learn is installed, gradient boosting over counts, last
values and means; a GRU over the same tokens), of subgroups by sex and age; of planted persons how early the
drift is told, and what points at its sign and its events: attention, integrated gradients, chance, with what
the probability loses as events are set to their sign's mean in that order. It is a study of methods, nothing
for the clinic: docs/guides/patients.md says who is missing in the data, and what is measured.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.config import require, user_cache
from attnjax.data.series.config import SeriesData
from attnjax.experiment.registry import experiment
from attnjax.models.events_config import EventsConfig
from attnjax.sweeps.registry import sweep
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.tasks.patients.task import PatientTask

MODEL = EventsConfig(
    dim=32, heads=4, hidden=64, implementation="reference", shortest_period=1.0, longest_period=32.0
)
TRAIN = TrainConfig(
    steps=800,
    batch_size=64,
    log_every=100,
    checkpoint_every=200,
    warmup_steps=50,
    learning_rate=3e-3,
    weight_decay=0.01,
    dropout=0.1,
)
NAFLD = SeriesData(
    train=user_cache() / "corpora" / "nafld_events.csv",
    outcomes=user_cache() / "corpora" / "nafld_persons.csv",
    event="died",
    positive="yes",
    end="futime",
    landmark=365,
    horizon=1826,
    group="case.id",
    subgroups=("sex", "age"),
    max_events=48,
)
SEEDS = range(3)


@experiment
@dataclass(frozen=True)
class Patients:
    """Tell who gets worse, or an outcome of persons of your own, from events at irregular times."""

    model: EventsConfig = MODEL
    data: SeriesData = SeriesData(subgroups=("sex", "age"))
    train: TrainConfig = TRAIN
    explained: int = 64
    """Persons of the test, rightly told, whose label is explained; 0: there are no such rows."""
    recurrent_steps: int = 800
    """Steps of the GRU that is trained beside the final table; 0: there is none."""
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def __post_init__(self) -> None:
        for name in ("explained", "recurrent_steps"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}: it must be 0 or more")

    def task(self, folder: Path | None = None) -> "PatientTask":
        from attnjax.tasks.patients.task import PatientTask

        return PatientTask(
            self.data,
            self.model,
            batch_size=self.train.batch_size,
            folder=folder,
            account=partial(explained, count=self.explained) if self.explained else None,
            recurrent_steps=self.recurrent_steps,
        )


@experiment(name="nafld")
def nafld() -> Patients:
    """Tell who dies within five years of a landmark day, from measurements and diagnoses before it."""
    times = replace(MODEL, shortest_period=30.0, longest_period=8000.0)
    return replace(Patients(), model=times, data=NAFLD)


def explained(model: Any, test: Any, cohort: Any, *, count: int) -> dict[str, dict[str, float]]:
    """Returns rows of how faithfully maps of events say why persons are told, rightly, to have the label.

    An event that is removed has the mean value of its sign, at its time: what has no value, as a diagnosis,
    is not removed. Where a drift is planted, rows say too how well it is found.
    """
    import jax.numpy as jnp
    import numpy as np

    from attnjax.config import InputError
    from attnjax.explain import Target, ask, attribute
    from attnjax.explain.faithfulness import faithfulness
    from attnjax.tasks.patients.localisation import drifting, located, random_located

    events = [jnp.asarray(test[name]) for name in ("times", "signs", "values")]
    more: dict[str, Any] = {name: jnp.asarray(test[name]) for name in ("persons", "present")}
    given = np.asarray(ask(model, *events, **more).target.index)
    told, planted = (cohort.labels == 1) & (given == 1), cohort.truth is not None
    if planted:  # Of each an event of the drift has been seen: before that nothing can find it.
        told &= drifting(cohort).any(1)
    chosen = np.flatnonzero(told)[:count]
    if not len(chosen):
        return {}
    own = cohort.chosen(chosen)
    more = {name: array[chosen] for name, array in more.items()}
    margin = Target(1, against=jnp.asarray(0))
    question = ask(model, *(array[chosen] for array in events), target=margin, **more)
    usual = question.with_tokens(jnp.zeros(question.tokens.shape)).vectors()
    maps = {"integrated_gradients": attribute("integrated_gradients", question, baseline=usual, steps=16)}
    for name in ("raw", "rollout"):
        try:
            maps[name] = attribute(name, question)
        except InputError:  # It is not defined for such a mechanism, and has no row.
            continue
    found = faithfulness(
        question.with_target(Target(jnp.ones(len(chosen), int), "probability")),
        maps,
        ("comprehensiveness", "sufficiency", "aopc"),
        rationale=drifting(own) if planted else None,
        baseline=usual,
        orders=5,
    )
    rows = {f"events by {row}" if row in maps else row: dict(columns) for row, columns in found.table.items()}
    if planted:
        for name, attribution in maps.items():
            rows[f"events by {name}"] |= located(np.asarray(attribution.scores), own)
        rows["random order"] |= random_located(own)
    return rows


_SHORT = {"train.steps": 400, "train.checkpoint_every": 100, "explained": 0, "recurrent_steps": 0}


@sweep(Patients, metric="test/AUROC", mode="max", base=_SHORT)
def patient_sizes() -> Iterator[dict[str, Any]]:
    """Heads, width or dropout: what decides who is told to deteriorate?

    2 × 2 × 2 settings with 3 seeds, 400 steps.
    """
    axes: dict[str, Any] = {
        "model.heads": (1, 4),
        "model.dim": (16, 32),
        "train.dropout": (0.0, 0.2),
        "seed": SEEDS,
    }
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


@sweep(Patients, metric="test/AUROC", mode="max", base=_SHORT)
def patient_times() -> Iterator[dict[str, Any]]:
    """What do times bring: learned waves, sinusoids of days, the order of events alone, or nothing?

    4 kinds with 3 seeds, 400 steps.
    """
    for times in ("learned", "sinusoidal", "order", "none"):
        for seed in SEEDS:
            yield {"model.times": times, "seed": seed}


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
