"""The importance of fields: the share of the variance between settings that each explains on its own."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from attnjax.experiment.changes import Changes
from attnjax.runs.report.digits import numeric

BINS_PER_FIELD = 4


def importance(settings: Sequence[tuple[Changes, float]], axes: Mapping[str, list[Any]]) -> dict[str, float]:
    """The share of the variance between settings that the mean for each value of a field explains.

    `settings`: the changes and the mean of each. On a full grid all other fields average out: the share is
    the first-order term of functional ANOVA (Hutter et al., 2014). Elsewhere they do not, and many groups of
    few settings explain much by chance: epsilon squared (Kelley, 1935, An unbiased correlation ratio measure)
    takes that off, and a field with 8 numbers or more is cut into 4 bins of equally many values.

    Leaves out a field with one setting for each value, which would explain all whatever the means are. Empty
    where all means are equal.
    """
    means = [mean for _, mean in settings]
    if len(set(means)) < 2:
        return {}
    full = full_grid(settings, axes)
    shares = {}
    for name, values in axes.items():
        places = [values.index(changes[name]) for changes, _ in settings]
        if not full and numeric(values) and len(values) >= 2 * BINS_PER_FIELD:
            places = [BINS_PER_FIELD * place // len(values) for place in places]
        groups, count = len(set(places)), len(means)
        if groups < count:
            unexplained = 1 - _correlation_ratio(places, means)
            shares[name] = 1 - unexplained * (1 if full else (count - 1) / (count - groups))
    return {name: max(0.0, share) for name, share in sorted(shares.items(), key=lambda item: -item[1])}


def full_grid(settings: Sequence[tuple[Changes, float]], axes: Mapping[str, list[Any]]) -> bool:
    """Returns True if the settings are all combinations of the values of two fields or more."""
    counts = [len({values.index(changes[name]) for changes, _ in settings}) for name, values in axes.items()]
    return math.prod(counts) == len(settings) > max(counts, default=0)


def _correlation_ratio(places: Sequence[int], means: Sequence[float]) -> float:
    """Between the groups' means and all of them: the share of the sum of squares, eta squared."""
    groups: dict[int, list[float]] = {}
    for place, mean in zip(places, means, strict=True):
        groups.setdefault(place, []).append(mean)
    overall = statistics.fmean(means)
    between = sum(len(group) * (statistics.fmean(group) - overall) ** 2 for group in groups.values())
    return between / sum((mean - overall) ** 2 for mean in means)
