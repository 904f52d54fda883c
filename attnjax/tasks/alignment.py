"""Pictures of what a translator looked at: heat maps as PNG, and in characters for the terminal."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.image import AxesImage
from rich.cells import cell_len

FONT = FontProperties(family="DejaVu Sans Mono")  # Comes with matplotlib: pictures look alike everywhere.
SHADES = " ░▒▓█"
COLUMNS = 2


@dataclass(frozen=True)
class Translation:
    """A translated text and how each of its pieces looked at the source when it was emitted.

    `alignment` is [T, S]: rows are target pieces, columns source pieces, each row sums to 1.
    """

    text: str
    source_pieces: list[str]
    target_pieces: list[str]
    alignment: Float[np.ndarray, "T S"]


def drawable(text: str) -> bool:
    """Whether the pictures' font has every character of the text.

    >>> drawable("5 мая 2003"), drawable("2003年")
    (True, False)
    """
    return all(ord(character) in _glyphs() for character in text)


def draw_alignments(translations: Sequence[Translation], titles: Sequence[str], path: Path) -> None:
    """Writes a PNG with one heat map for each translation: source across, translation downwards."""
    rows = -(-len(translations) // COLUMNS)
    height = sum(0.2 * max(len(t.target_pieces) for t in translations) + 1.0 for _ in range(rows))
    figure = Figure(figsize=(7.0 * COLUMNS, height + 0.6), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, COLUMNS, squeeze=False)
    for panel, translation, title in zip(panels.flat, translations, titles, strict=False):
        image = _draw_one(panel, translation, title)
    for panel in list(panels.flat)[len(translations) :]:
        panel.set_axis_off()
    figure.colorbar(image, ax=panels, shrink=0.4, aspect=30, pad=0.01).outline.set_visible(False)
    figure.suptitle("What the decoder looks at (across) when it writes each character (down)", fontsize=13)
    figure.savefig(path, dpi=150)


def terminal_map(translation: Translation) -> str:
    """The heat map in characters: the source as the heading, then a line for each piece of the translation.

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


def _draw_one(panel: Axes, translation: Translation, title: str) -> AxesImage:
    weights = translation.alignment
    image = panel.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    panel.set_title(title, fontsize=10, loc="left", color="0.35")
    panel.set_xticks(range(weights.shape[1]), [_visible(piece) for piece in translation.source_pieces])
    panel.set_yticks(range(weights.shape[0]), translation.target_pieces)
    for label in [*panel.get_xticklabels(), *panel.get_yticklabels()]:
        label.set_fontproperties(FONT)
        label.set_fontsize(10)
    panel.tick_params(length=0)
    panel.set_xticks(np.arange(weights.shape[1] + 1) - 0.5, minor=True)
    panel.set_yticks(np.arange(weights.shape[0] + 1) - 0.5, minor=True)
    panel.grid(which="minor", color="0.92", linewidth=0.6)
    panel.tick_params(which="minor", length=0)
    for spine in panel.spines.values():
        spine.set_visible(False)
    return image


def _visible(piece: str) -> str:
    """A piece without characters that would break the line or the column."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in piece
    )


@functools.cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FONT)).get_charmap())
