"""The numbers of a sweep: settings with the mean over their seeds, failures, and what matters most."""

import functools
import math
import operator
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from attnjax.config import InputError
from attnjax.runs.report.digits import numeric, pair, shown
from attnjax.sweeps.report.importance import importance
from attnjax.sweeps.store import Changes, Sweep, TrialRecord, metric_value, read_plan
from attnjax.train.head_numbers import mean_of_layers

SEED = "seed"


def is_seed(name: str) -> bool:
    """Returns whether a field is a seed: that of the run, or of a part, as data.seed.

    Trials that differ in nothing else are of one setting.
    """
    return name.rpartition(".")[2] == SEED


@dataclass(frozen=True)
class Setting:
    """The trials that differ in their seed alone, each once however often a search drew it.

    `sd`: of the sample, None for fewer than two values. `heads`: numbers on the heads of attention, each the
    mean over layers and trials; empty where there are none.
    """

    changes: Changes
    values: list[float]
    failed: int
    pruned: int
    heads: dict[str, float] = field(default_factory=dict)

    @property
    def mean(self) -> float | None:
        """The mean over seeds; None without a value."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def sd(self) -> float | None:
        """The standard deviation over seeds; None for fewer than two values."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Findings:
    """All that a report shows. `settings`: the best first, those without a value last.

    `trials`: each with all fields that the sweep sets, also those that it leaves as the base config has them.
    `axes`: the fields that take more than one value: numbers in order, others with the best first.
    """

    sweep: Sweep
    metric: str
    mode: str
    trials: list[TrialRecord]
    values: dict[int, float]
    settings: list[Setting]
    axes: dict[str, list[Any]]

    @property
    def means(self) -> list[tuple[Changes, float]]:
        """The settings that have a value, and their means."""
        return [(setting.changes, setting.mean) for setting in self.settings if setting.mean is not None]

    @functools.cached_property
    def importance(self) -> dict[str, float]:
        """The share of the variance between settings that a field explains on its own, the largest first.

        Without the fields for which this cannot be told.
        """
        return importance(self.means, self.axes)

    @property
    def untold(self) -> list[str]:
        """The fields, of several, with another value in every setting: any of them might explain all."""
        several = len(self.axes) > 1 and not self.nothing_varies
        return [name for name in self.axes if name not in self.importance] if several else []

    @property
    def nothing_varies(self) -> bool:
        """True if settings differ in some field and all have the same mean."""
        return bool(self.axes) and len({mean for _, mean in self.means}) == 1

    @property
    def counts(self) -> dict[str, int]:
        """Trials by status."""
        return dict(Counter(trial.status for trial in self.trials))

    @property
    def without_metric(self) -> list[TrialRecord]:
        """The finished trials whose metric is no finite number: no mean counts them."""
        return [trial for trial in self.trials if trial.status == "done" and trial.number not in self.values]

    @property
    def weights(self) -> str:
        """The weights that trials were evaluated with: after the "last" step, or of the "best" validation."""
        plan = read_plan(self.sweep)
        return plan["weights"] if plan else "last"

    @property
    def best(self) -> Setting:
        """The best setting."""
        return self.settings[0]

    @property
    def best_with_weights(self) -> TrialRecord | None:
        """The best of the trials whose folder holds a checkpoint of their weights; None if there is none."""
        kept = [t for t in self.trials if t.number in self.values and (t.folder / "checkpoints").is_dir()]
        sign = 1 if self.mode == "max" else -1
        return max(kept, key=lambda trial: sign * self.values[trial.number], default=None)

    @property
    def seeds(self) -> int:
        """The largest number of seeds that a setting has."""
        return max(len(setting.values) for setting in self.settings)


def findings(sweep: Sweep, metric: str | None = None, mode: str | None = None) -> Findings:
    """Returns the findings of a sweep by its own metric, or by another ROW/COLUMN whose `mode` end is better.

    Raises InputError for a sweep without a finished trial, and for a metric that no trial has.
    """
    record, plan = sweep.record(), read_plan(sweep)
    trials = _complete(sweep.trials(), record["config"])
    done = [trial for trial in trials if trial.status == "done"]
    if plan is None or not done:
        counts = Counter(trial.status for trial in trials)
        shown = ", ".join(f"{n} {status}" for status, n in counts.items())
        raise InputError(f"{sweep.name} has no finished trial yet: {shown or 'none has begun'}")
    monitor, better = plan["monitor"]
    metric = metric or record["metric"]
    found = {trial.number: metric_value(trial.result, metric, monitor) for trial in done}
    values = {n: value for n, value in found.items() if value is not None}
    if not values:
        table = (done[0].result or {"metrics": {}})["metrics"]
        cells = [f"{row}/{column}" for row, columns in table.items() for column in columns]
        if metric is None or metric in cells:
            name = metric or f"validation {monitor}"
            raise InputError(
                f"{sweep.name}: {name} is no finite number in any of {counted(len(done), 'trial')}"
            )
        raise InputError(f"{sweep.name}: no trial has the metric {metric!r}; there are {', '.join(cells)}")
    mode = mode or record["mode"] or better
    settings = _settings(trials, values, mode)
    axes = _axes(trials, settings)
    metric = metric or f"validation {monitor}"
    return Findings(sweep, metric, mode, trials, values, settings, axes)


@dataclass(frozen=True)
class Pooled:
    """Settings taken together: the mean of their means, the sd over seeds pooled within them, all trials."""

    mean: float
    sd: float | None
    n: int


def pooled(found: Findings, at: dict[str, Any]) -> Pooled | None:
    """Of the settings that have these values; None where none of them has a result."""
    chosen = [
        setting
        for setting in found.settings
        if setting.values and all(setting.changes.get(name) == value for name, value in at.items())
    ]
    if not chosen:
        return None
    freedom = sum(len(setting.values) - 1 for setting in chosen)
    squares = sum((len(setting.values) - 1) * (setting.sd or 0.0) ** 2 for setting in chosen)
    mean = statistics.fmean(statistics.fmean(setting.values) for setting in chosen)
    sd = math.sqrt(squares / freedom) if freedom else None
    return Pooled(mean, sd, sum(len(setting.values) for setting in chosen))


def counted(count: int, thing: str) -> str:
    """Returns a count with its noun, in the plural unless the count is 1.

    >>> counted(1, "seed"), counted(3, "seed")
    ('1 seed', '3 seeds')
    """
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def rests_on(found: Findings) -> str:
    """Returns a text on the number of trials, settings and seeds behind a figure."""
    trials = counted(sum(len(setting.values) for setting in found.settings), "trial")
    settings, seeds = counted(len(found.means), "setting"), counted(found.seeds, "seed")
    return f"{trials} in {settings}, up to {seeds} each"


def changes_text(changes: Changes) -> str:
    """Fields without their prefix, and their values.

    >>> changes_text({"model.heads": 8, "train.learning_rate": 0.0031622776601683794})
    'heads=8 learning_rate=0.003162'
    """
    return " ".join(f"{name.rpartition('.')[2]}={shown(value)}" for name, value in changes.items())


def mean_and_sd(setting: Setting) -> tuple[str, str]:
    """Both as a table shows them, "—" for one that the setting does not have."""
    if setting.mean is None or setting.sd is None:
        return "—" if setting.mean is None else shown(setting.mean), "—"
    return pair(setting.mean, setting.sd)


def searched_by_log(found: Findings, name: str) -> bool | None:
    """Returns True if a search drew a field on a logarithmic scale, and None if no search drew it."""
    return _domain(found, name).get("log")


def drawn_from_a_range(found: Findings, name: str) -> bool:
    """Returns True if a search drew a field from a range of real numbers."""
    return _domain(found, name).get("integer") is False


def reason_of(trial: TrialRecord) -> str:
    """Returns the reason why a trial failed or was pruned; an empty text for other trials."""
    return (trial.result or {}).get("reason") or ""


def _domain(found: Findings, name: str) -> dict[str, Any]:
    """As a search's record holds it; empty where no search drew the field."""
    domain: dict[str, Any] = (found.sweep.record().get("search") or {"space": {}})["space"].get(name, {})
    return domain


def _complete(trials: Sequence[TrialRecord], config: dict[str, Any]) -> list[TrialRecord]:
    """The trials with every field that any of them sets; where a trial does not, the base config's value."""
    names = dict.fromkeys(name for trial in trials for name in trial.changes)

    def value(changes: Changes, name: str) -> Any:
        if name in changes:
            return changes[name]
        return functools.reduce(operator.getitem, name.split("."), config)

    return [replace(trial, changes={name: value(trial.changes, name) for name in names}) for trial in trials]


def _settings(trials: Sequence[TrialRecord], values: dict[int, float], mode: str) -> list[Setting]:
    groups: dict[str, list[TrialRecord]] = {}
    for trial in _distinct(trials, values):
        key = str({name: value for name, value in trial.changes.items() if not is_seed(name)})
        groups.setdefault(key, []).append(trial)
    sign = -1 if mode == "max" else 1
    settings = [
        Setting(
            {name: value for name, value in group[0].changes.items() if not is_seed(name)},
            [values[trial.number] for trial in group if trial.number in values],
            sum(trial.status == "failed" for trial in group),
            sum(trial.status == "pruned" for trial in group),
            mean_of_layers([layer for trial in group for layer in heads_in(trial)]),
        )
        for group in groups.values()
    ]
    return sorted(settings, key=lambda s: (s.mean is None, sign * (s.mean or 0)))


def heads_in(trial: TrialRecord) -> list[dict[str, float]]:
    """Returns the numbers on the heads of each layer of a trial that has some."""
    return list((trial.result or {}).get("heads", {}).values())


def _distinct(trials: Sequence[TrialRecord], values: dict[int, float]) -> list[TrialRecord]:
    """The first of equal trials, which a search may draw again; one that has a value before one that has not.

    The same config with the same seed gives the same number again: it says nothing of the spread over seeds.
    """
    with_value_first = sorted(trials, key=lambda trial: trial.number not in values)
    kept: dict[str, TrialRecord] = {}
    for trial in with_value_first:
        kept.setdefault(str(trial.changes), trial)
    return sorted(kept.values(), key=lambda trial: trial.number)


def _axes(trials: Sequence[TrialRecord], settings: Sequence[Setting]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for trial in trials:
        for name, value in trial.changes.items():
            if value not in found.setdefault(name, []):
                found[name].append(value)
    return {
        name: sorted(v) if numeric(v) else _best_first(name, v, settings)
        for name, v in found.items()
        if len(v) > 1 and not is_seed(name)
    }


def _best_first(name: str, values: list[Any], settings: Sequence[Setting]) -> list[Any]:
    """By the mean place of each value's settings, of which the best comes first."""

    def place(value: Any) -> float:
        return statistics.fmean(i for i, s in enumerate(settings) if s.changes.get(name) == value)

    return sorted(values, key=place)
