"""Pictures of what a translator looked at: heat maps as PNG, and in characters for the terminal."""

import functools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from rich.cells import cell_len

from attnjax.tasks.base import Prediction
from attnjax.tasks.translation.words import pharaoh, word_links

# Matplotlib is imported by what draws: training begins without it.
if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.font_manager import FontProperties
    from matplotlib.image import AxesImage

SHADES = " ░▒▓█"
COLUMNS = 2
PIECE = 0.14
"""The width of a source piece, in inches."""


@dataclass(frozen=True)
class Translation(Prediction):
    """A translated text and how each of its pieces looked at the source when it was emitted.

    `alignment` is [T, S]: rows are target pieces, columns source pieces, each row sums to 1. `weights_of`
    names the layer and heads that it comes from. `log_prob` is the log probability of the pieces and the end
    mark, of which each has one in `piece_log_probs`; `score` is what beams are ranked by. `others` are the
    next best ones.
    """

    text: str
    source_pieces: list[str]
    target_pieces: list[str]
    alignment: Float[np.ndarray, "T S"]
    weights_of: str = "attention"
    log_prob: float | None = None
    score: float | None = None
    piece_log_probs: tuple[float, ...] = ()
    others: "tuple[Translation, ...]" = field(default=())

    def record(self) -> dict[str, Any]:
        """Returns the translation, and the next best ones where there are such."""
        if not self.others:
            return {"translation": self.text}
        ranked = [{"translation": one.text, **one.scores()} for one in self.ranked()]
        return {"translation": self.text, "n_best": ranked}

    def ranked(self) -> "list[Translation]":
        """Returns this one and the next best ones."""
        return [self, *self.others]

    def scores(self) -> dict[str, Any]:
        """Returns the numbers of the translation, as JSON holds them."""
        return {
            "log_prob": self.log_prob,
            "score": self.score,
            "piece_log_probs": list(self.piece_log_probs),
        }

    def details(self) -> dict[str, Any]:
        """Returns the pieces and their alignment, rounded to four digits."""
        return {
            "source_pieces": self.source_pieces,
            "target_pieces": self.target_pieces,
            "alignment": self.alignment.astype(float).round(4).tolist(),
            "weights_of": self.weights_of,
        }

    def links(self) -> str:
        """Returns the links between words, as `word_links` finds them in the alignment."""
        return pharaoh(word_links(self.alignment, self.source_pieces, self.target_pieces))

    def picture(self) -> str:
        """Returns the alignment as a heat map in characters."""
        return terminal_map(self)


def drawable(text: str) -> bool:
    """Returns whether the pictures' font has every character of the text.

    >>> drawable("5 мая 2003"), drawable("2003年")
    (True, False)
    """
    return all(ord(character) in _glyphs() for character in text)


def draw_alignments(translations: Sequence[Translation], titles: Sequence[str], path: Path) -> None:
    """Writes one heat map for each translation, source across, translation downwards: PNG, SVG and PDF."""
    from matplotlib.figure import Figure

    from attnjax.tasks.pictures import save

    columns = min(COLUMNS, len(translations))
    rows = -(-len(translations) // columns)
    turned = any(len(piece) > 2 for t in translations for piece in t.source_pieces)
    width = 0.8 + PIECE * max(len(t.source_pieces) for t in translations)
    below = 0.08 * max(len(piece) for t in translations for piece in t.source_pieces) if turned else 0.2
    heights = [
        0.35 + below + 0.19 * max(len(t.target_pieces) for t in translations[i * columns : (i + 1) * columns])
        for i in range(rows)
    ]
    figure = Figure(
        figsize=(max(4.5, columns * width + 0.6), sum(heights) + 0.7),
        layout="constrained",
        facecolor="white",
        dpi=150,
    )
    panels = figure.subplots(rows, columns, squeeze=False, height_ratios=heights)
    for panel, translation, title in zip(panels.flat, translations, titles, strict=False):
        image = _draw_one(panel, translation, title, turned)
    for panel in list(panels.flat)[len(translations) :]:
        panel.set_axis_off()
    figure.colorbar(image, ax=panels, shrink=0.6, aspect=30, pad=0.01).outline.set_visible(False)
    sources = dict.fromkeys(t.weights_of for t in translations)
    text = ["Where it looks (across) when it writes each piece (down)", *sources]
    across = int(12 * figure.get_figwidth())
    figure.suptitle("\n".join(textwrap.fill(line, across) for line in text), fontsize=10)
    save(figure, path)


def terminal_map(translation: Translation) -> str:
    """Returns the heat map in characters: the source above, then a line for each piece of the translation.

    >>> print(terminal_map(Translation("ab", ["x", "y"], ["a", "b"], np.array([[1.0, 0.0], [0.4, 0.6]]))))
       xy
    a │█ │
    b │▒▓│
    """
    pieces = [_visible(piece) for piece in translation.source_pieces]
    width = max((cell_len(name) for name in translation.target_pieces), default=0)
    lines = [" " * (width + 2) + "".join(pieces)]
    for name, row in zip(translation.target_pieces, translation.alignment, strict=True):
        levels = np.ceil(np.clip(row, 0, 1) * (len(SHADES) - 1) - 0.1).astype(int).tolist()
        cells = "".join(SHADES[level] * cell_len(piece) for level, piece in zip(levels, pieces, strict=True))
        lines.append(f"{name}{' ' * (width - cell_len(name))} │{cells}│")
    return "\n".join(lines)


def _draw_one(panel: "Axes", translation: Translation, title: str, turned: bool) -> "AxesImage":
    weights = translation.alignment
    image = panel.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    panel.set_title(title, fontsize=10, loc="left", color="0.35")
    panel.set_xticks(range(weights.shape[1]), [_visible(piece) for piece in translation.source_pieces])
    panel.set_yticks(range(weights.shape[0]), translation.target_pieces)
    for label in [*panel.get_xticklabels(), *panel.get_yticklabels()]:
        label.set_fontproperties(_font())
        label.set_fontsize(9)
    panel.tick_params(length=0)
    if turned:  # Pieces of several characters would run into each other.
        panel.tick_params(axis="x", rotation=90)
    panel.set_xticks(np.arange(weights.shape[1] + 1) - 0.5, minor=True)
    panel.set_yticks(np.arange(weights.shape[0] + 1) - 0.5, minor=True)
    panel.grid(which="minor", color="0.92", linewidth=0.6)
    panel.tick_params(which="minor", length=0)
    for spine in panel.spines.values():
        spine.set_visible(False)
    return image


def _visible(piece: str) -> str:
    """Returns a piece without characters that would break the line or the column."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in piece
    )


@functools.cache
def _font() -> "FontProperties":
    """Returns a font that comes with matplotlib: pictures look alike everywhere."""
    from matplotlib.font_manager import FontProperties

    return FontProperties(family="DejaVu Sans Mono")


@functools.cache
def _glyphs() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont(_font())).get_charmap())
