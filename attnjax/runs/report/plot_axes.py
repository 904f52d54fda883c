"""The axes of figures: their scale, ticks that do not touch, error bars within the range of a metric."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import NullLocator

from attnjax.runs.report.digits import labels, numeric, shown

DPI = 160
GREY = "0.35"
ACCENT = "#c8501e"
MAX_LABELLED_VALUES = 8
"""So many values of a field, and no more, have a tick each."""
MAX_TICKS = 5


def new(width: float, height: float) -> tuple[Figure, Axes]:
    """Returns an empty figure of this size in inches and its only axes."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    plain(axes)
    return figure, axes


def plain(axes: Axes) -> None:
    """Takes off what carries no information, and makes the text of axes small."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.ticklabel_format(useOffset=False)  # 146.21 to 146.28, not 0.01 to 0.08 above 146.2.
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)


def scale(
    axes: Axes, which: Literal["x", "y"], values: Sequence[Any], log: bool | None, *, each: bool
) -> None:
    """Gives an axis the scale of these numbers, and few ticks.

    `log`: whether it is logarithmic; None: where the numbers span much. `each`: a tick for each of them where
    they are few.
    """
    places = sorted(set(values))
    logarithmic = places[0] > 0 and (spans_much(places) if log is None else log)
    if logarithmic:
        axes.set(**{f"{which}scale": "log"})
        (axes.xaxis if which == "x" else axes.yaxis).set_minor_locator(NullLocator())
    if each and len(places) <= MAX_LABELLED_VALUES:
        texts = labels(places)
    elif logarithmic:
        places = log_ticks(places[0], places[-1])
        texts = [shown(place) for place in places]
    else:
        axes.locator_params(axis=which, nbins=MAX_TICKS)
        return
    axes.set(**{f"{which}ticks": places, f"{which}ticklabels": texts})


def spans_much(values: Sequence[float]) -> bool:
    """Returns whether numbers are better read by their logarithms.

    They are positive and span two decades, or each is about the same multiple of the one before.

    >>> spans_much([1e-4, 1e-2]), spans_much([2, 4, 8, 16]), spans_much([0, 1e9])
    (True, True, False)
    >>> spans_much([0.1, 0.2, 0.3]), spans_much([52.1, 52.3, 60, 78])
    (False, False)
    """
    ordered = sorted(set(values))
    if len(ordered) < 2 or ordered[0] <= 0:
        return False
    ratios = [after / before for before, after in itertools.pairwise(ordered)]
    regular = len(ordered) > 2 and min(ratios) > 1.5 and max(ratios) < 1.3 * min(ratios)
    return regular or ordered[-1] / ordered[0] >= 100


def log_ticks(low: float, high: float) -> list[float]:
    """Returns up to five round places from `low` to `high` on a logarithmic axis.

    >>> log_ticks(1e-4, 1e-1), log_ticks(0.002, 0.03), log_ticks(1e-9, 1e3)
    ([0.0001, 0.001, 0.01, 0.1], [0.003, 0.01, 0.03], [1e-09, 1e-06, 0.001, 1.0, 1000.0])
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in ((1,), (1, 3), (1, 2, 5), range(1, 10)):
        places = [float(f"{step}e{decade}") for decade in range(first, last + 1) for step in steps]
        places = [place for place in places if low * 0.999 <= place <= high * 1.001]
        if len(places) >= (3 if steps != range(1, 10) else 2):
            return places[:: -(-len(places) // MAX_TICKS)]
    return [low, high]


def thin(figure: Figure) -> None:
    """Takes away tick labels of numbers that would touch the one before, or read as one number with it."""
    figure.draw_without_rendering()
    for axes in figure.axes:
        for which in (0, 1):
            end = -math.inf
            for label in shown_labels(axes, which):
                box = label.get_window_extent()
                gap = (box.height / 2, 2)[which]
                if label.get_rotation() == 0 and box.min[which] < end + gap:
                    label.set_visible(False)
                else:
                    end = box.max[which]


def shown_labels(axes: Axes, which: int) -> list[Text]:
    """Returns the tick labels of x (0) or y (1) that are seen: matplotlib has some beyond the ends too."""
    axis = (axes.xaxis, axes.yaxis)[which]
    low, high = sorted(axis.get_view_interval())
    labels = [label for label in axis.get_ticklabels() if label.get_visible() and label.get_text()]
    return [label for label in labels if low <= label.get_position()[which] <= high]


def ends(means: Sequence[float], spreads: Sequence[float], bounds: tuple[float, float]) -> list[list[float]]:
    """Returns how far error bars reach down and up: a spread, or to the end of what the metric can be.

    >>> ends([98.0, 50.0], [18.0, 3.0], (0.0, 100.0))
    [[18.0, 3.0], [2.0, 3.0]]
    """
    pairs = list(zip(means, spreads, strict=True))
    down = [min(spread, mean - bounds[0]) for mean, spread in pairs]
    return [down, [min(spread, bounds[1] - mean) for mean, spread in pairs]]


def colours(values: Sequence[Any]) -> list[Any]:
    """Returns colours along a scale for numbers, as different as can be for others."""
    from matplotlib import colormaps

    if not numeric(values):
        return [colormaps["tab10"](i) for i in range(len(values))]
    return [colormaps["viridis"](0.85 * i / max(1, len(values) - 1)) for i in range(len(values))]


def escaped(label: str) -> str:
    """Returns the text with its dollars as they are: two of them would hold a formula."""
    return label.replace("$", r"\$")
