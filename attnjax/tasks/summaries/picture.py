"""A picture of summaries: ROUGE beside that of what a model has to pass, and words that were copied."""

from collections.abc import Mapping, Sequence

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attnjax.data.text.example import Example
from attnjax.tasks.metrics.summaries import ROUGES
from attnjax.tasks.summaries.summary import Summary

LINE = 74
"""Letters of a line."""
TEXTS = 5
"""Texts whose summaries are drawn, at most."""
LINES = 3
"""Lines of a text that are drawn."""
LEFT_OUT = ("the summaries themselves",)


def summaries_figure(
    metrics: Mapping[str, Mapping[str, float]], examples: Sequence[Example], written: Sequence[Summary]
) -> Figure:
    """Returns bars of ROUGE-1, -2 and -L, and texts with their summaries, copied words coloured.

    Args:
      metrics: the rows of the final table.
      examples: test texts.
      written: their summaries.
    """
    figure = Figure(figsize=(13, 6), layout="constrained")
    bars, texts = figure.subplots(1, 2, width_ratios=(1, 2))
    rows = {name: row for name, row in metrics.items() if name not in LEFT_OUT and "ROUGE-1" in row}
    for place, name in enumerate(ROUGES):
        height = [i + 0.27 * (place - 1) for i in range(len(rows))]
        bars.barh(height, [row[name] for row in rows.values()], 0.25, label=name, color=f"C{place}")
    bars.set_yticks(range(len(rows)), list(rows))
    bars.invert_yaxis()
    bars.set_xlabel("F1, %")
    bars.legend(frameon=False)
    for side in ("top", "right"):
        bars.spines[side].set_visible(False)
    _write(texts, [(examples[i], written[i]) for i in _chosen(written)])
    return figure


def _chosen(written: Sequence[Summary]) -> list[int]:
    """Returns places evenly from all summaries in which a word was copied; of all, where none was."""
    copies = [i for i, one in enumerate(written) if any(word.copied for word in one.words)]
    places = copies or list(range(len(written)))
    return [places[i * len(places) // TEXTS] for i in range(TEXTS)] if len(places) > TEXTS else places


def _write(axes: Axes, chosen: Sequence[tuple[Example, Summary]]) -> None:
    axes.set_axis_off()
    row = 0.0
    for example, summary in chosen:
        looked = {word.place for word in summary.words if word.copied}
        text = [(word, float(place in looked)) for place, word in enumerate(example.source.split())]
        row = _line(axes, row, f"{example.group}:", text, most=LINES)
        # A model without attention tells nothing of its words.
        shares = [(word.word, word.share or 0.0) for word in summary.words]
        written = shares or [(word, 0.0) for word in summary.text.split()]
        row = _line(axes, row, "summary:", written, weight="bold")
        row = _line(axes, row, "its own:", [(word, 0.0) for word in example.target.split()]) + 0.6
    axes.set_xlim(0, LINE)
    axes.set_ylim(-max(row, 12), 1)


def _line(
    axes: Axes, row: float, title: str, words: Sequence[tuple[str, float]], *, most: int = 9, **style: str
) -> float:
    """Writes words, each on the colour of its share, and returns the next row."""
    axes.text(0, -row, title, fontsize=8, color="0.45")
    place, lines = 10, 1
    for word, share in words:
        if place + len(word) > LINE and place > 10:
            place, lines = 10, lines + 1
            if lines > most:
                axes.text(LINE, -row, "…", fontsize=8)
                break
            row += 1
        box = {
            "facecolor": colormaps["Oranges"](0.6 * share),
            "alpha": 0.9 * (share > 0.05),
            "lw": 0,
            "pad": 1,
        }
        axes.text(place, -row, word, family="monospace", fontsize=8, bbox=box, **style)  # type: ignore[arg-type]
        place += len(word) + 1
    return row + 1
