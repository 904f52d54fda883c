"""Figures as files: PNG to look at, SVG and PDF for papers. The same figure gives the same bytes."""

import io
from pathlib import Path
from typing import Literal

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Format = Literal["png", "svg", "pdf"]
FORMATS: tuple[Format, ...] = ("png", "svg", "pdf")

# What would differ between two drawings of one figure: times, and version numbers of the drawing program.
_WITHOUT = {
    "png": {"Software": None},
    "svg": {"Creator": None, "Date": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}
_TRUETYPE = 42
"""The kind of fonts in a PDF: publishers refuse matplotlib's default, Type 3."""


def encoded(figure: Figure, format: Format = "png") -> bytes:
    """Returns the figure as the bytes of a file.

    >>> encoded(Figure(), "svg")[:5], encoded(Figure(), "pdf")[:5]
    (b'<?xml', b'%PDF-')
    """
    buffer = io.BytesIO()
    # A figure that was made without pyplot has no canvas of its own.
    FigureCanvasAgg(figure)
    with matplotlib.rc_context({"svg.hashsalt": "attnjax", "pdf.fonttype": _TRUETYPE}):
        figure.savefig(buffer, format=format, metadata=_WITHOUT[format])
    return buffer.getvalue()


def save(figure: Figure, path: Path) -> None:
    """Writes the figure to `path`, a name that ends in .png, and as SVG and PDF beside it."""
    for format in FORMATS:
        path.with_suffix(f".{format}").write_bytes(encoded(figure, format))
