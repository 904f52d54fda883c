"""A report card: what each mechanism scores on each source, at a rate that is chosen for it, and its cost."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from attnjax.runs.report.digits import shown, with_spread
from attnjax.sweeps.report.table import SEED
from attnjax.sweeps.store import TrialRecord

MECHANISM, SOURCE, RATE = "model.mechanism", "data.source", "train.learning_rate"
TRAINED, LONGER = "as trained", "twice"
"""The row of the evaluation that training is like, and how the one begins that has twice as much of it."""
LABELS = {TRAINED: "as trained", LONGER: "twice as long"}

Scores = dict[int, float]
"""A score for each seed."""


@dataclass(frozen=True)
class MeasuredCost:
    """The cost of a mechanism, measured beside the others.

    Attributes:
      seconds_per_token: of a training step: median, least and greatest over rounds.
      bytes_of_step: what a compiled training step holds beside its arguments and results.
      held: numbers that decoding holds; None where it goes not token by token.
      parameters: how many there are.
    """

    seconds_per_token: tuple[float, float, float]
    bytes_of_step: int
    held: int | None
    parameters: int


@dataclass(frozen=True)
class Cell:
    """A mechanism on a source.

    Attributes:
      rate: the learning rate that was chosen; None before any trial has ended.
      scores: those of its seeds, by `TRAINED` and `LONGER`.
      missing: trials, of all rates, that have not ended well.
    """

    rate: float | None = None
    scores: Mapping[str, Scores] = field(default_factory=lambda: {TRAINED: {}, LONGER: {}})
    missing: int = 0


@dataclass(frozen=True)
class Row:
    """A mechanism: its cell for each source, and its cost where that was measured."""

    mechanism: str
    cells: Mapping[str, Cell]
    cost: MeasuredCost | None = None

    def overall(self, row: str) -> Scores:
        """Returns the mean over all sources, for each seed; empty where a source has no score."""
        found = [cell.scores[row] for cell in self.cells.values()]
        seeds = set.intersection(*(set(scores) for scores in found)) if found else set()
        return {seed: statistics.fmean(scores[seed] for scores in found) for seed in sorted(seeds)}

    @property
    def missing(self) -> int:
        """Trials that have not ended well."""
        return sum(cell.missing for cell in self.cells.values())


def chosen_rate(trials: Sequence[TrialRecord], monitor: str, column: str) -> Cell:
    """Returns the cell of trials that differ in learning rate and seed.

    Of the rates with the most trials that ended well it is the one whose last validations have the best mean
    (the first of equal ones). What is tested plays no part in it.

    Args:
      trials: of one mechanism and one source.
      monitor: the score of a validation; more is better.
      column: of the evaluation.
    """
    well = [t for t in trials if t.status == "done" and math.isfinite(_validation(t, monitor))]
    of_rates: dict[float, list[TrialRecord]] = defaultdict(list)
    for trial in well:
        of_rates[trial.changes[RATE]].append(trial)
    missing = len(trials) - len(well)
    if not well:
        return Cell(missing=missing)

    def merit(rate: float) -> tuple[int, float]:
        own = of_rates[rate]
        return len(own), statistics.fmean(_validation(trial, monitor) for trial in own)

    rate = max(of_rates, key=merit)
    scores = {row: {t.changes[SEED]: _test(t, row, column) for t in of_rates[rate]} for row in LABELS}
    return Cell(rate, scores, missing)


def card(
    trials: Iterable[TrialRecord], costs: Mapping[str, MeasuredCost], monitor: str, column: str
) -> list[Row]:
    """Returns the rows of a card, the best as trained first, those that lack a source last.

    Args:
      trials: of a sweep over mechanisms, sources, learning rates and seeds, ended or not.
      costs: by mechanism.
      monitor: as in `chosen_rate`.
      column: as in `chosen_rate`.
    """
    groups: dict[str, dict[str, list[TrialRecord]]] = defaultdict(lambda: defaultdict(list))
    for trial in trials:
        groups[trial.changes[MECHANISM]][trial.changes[SOURCE]].append(trial)
    rows = [
        Row(
            mechanism,
            {source: chosen_rate(own, monitor, column) for source, own in of_sources.items()},
            costs.get(mechanism),
        )
        for mechanism, of_sources in groups.items()
    ]
    return sorted(rows, key=lambda row: -_mean(row.overall(TRAINED)))


def records(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Returns the card as a table of numbers: a dictionary for each mechanism, with the same keys."""
    return [
        {
            "mechanism": row.mechanism,
            **{
                f"{name} {statistic}": value
                for kind, name in LABELS.items()
                for statistic, value in _statistics(row.overall(kind)).items()
            },
            **_costs(row.cost),
            **{
                f"{source} {name}": value
                for source, cell in row.cells.items()
                for name, value in _of_cell(cell).items()
            },
            "missing trials": row.missing,
        }
        for row in rows
    ]


def markdown(rows: Sequence[Row]) -> str:
    """Returns the card as a table for people: % as trained → twice as long, ± sd over seeds."""
    sources = list(rows[0].cells) if rows else []
    heads = ["mechanism", "all", *sources, "µs/token", "MiB", "holds"]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    for row in rows:
        cells = [_text(row.overall(TRAINED), row.overall(LONGER))]
        cells += [_text(cell.scores[TRAINED], cell.scores[LONGER]) for cell in row.cells.values()]
        lines.append([f"`{row.mechanism}`", *cells, *_cost_texts(row.cost)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _of_cell(cell: Cell) -> dict[str, Any]:
    found = {
        f"{name} {statistic}": value
        for kind, name in LABELS.items()
        for statistic, value in _statistics(cell.scores[kind]).items()
    }
    return {**found, "learning rate": cell.rate, "seeds": len(cell.scores[TRAINED])}


def _costs(cost: MeasuredCost | None) -> dict[str, Any]:
    middle, least, greatest = cost.seconds_per_token if cost else (None, None, None)
    return {
        "seconds per token": middle,
        "least seconds per token": least,
        "greatest seconds per token": greatest,
        "bytes of a step": cost and cost.bytes_of_step,
        "numbers that decoding holds": cost and cost.held,
        "parameters": cost and cost.parameters,
    }


def _cost_texts(cost: MeasuredCost | None) -> list[str]:
    if cost is None:
        return ["—"] * 3
    held = "all tokens" if cost.held is None else str(cost.held)
    return [shown(1e6 * cost.seconds_per_token[0], 3), shown(cost.bytes_of_step / 2**20, 3), held]


def _text(trained: Scores, longer: Scores) -> str:
    if not trained:
        return "—"
    return " → ".join(with_spread(*spread(scores)) for scores in (trained, longer))


def spread(scores: Scores) -> tuple[float, float | None]:
    """Returns the mean over seeds, and its standard deviation, which is None for one seed."""
    values = list(scores.values())
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def _statistics(scores: Scores) -> dict[str, float | None]:
    return dict(zip(("%", "sd"), spread(scores) if scores else (None, None), strict=True))


def _mean(scores: Scores) -> float:
    return statistics.fmean(scores.values()) if scores else -math.inf


def _validation(trial: TrialRecord, monitor: str) -> float:
    value = (trial.result or {}).get("validation", {}).get(monitor)
    return math.nan if value is None else value


def _test(trial: TrialRecord, begins: str, column: str) -> float:
    metrics: Mapping[str, Mapping[str, float]] = (trial.result or {})["metrics"]
    return next(columns[column] for row, columns in metrics.items() if row.startswith(begins))
