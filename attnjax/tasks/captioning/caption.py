"""A caption as an answer, and what it looked at, as pictures and as a page."""

import base64
import html
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from attnjax.data.images.files import enlarged, png
from attnjax.tasks.base import Prediction

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 6
"""Panels of a row."""
SHOWN_SIDE = 240
"""Pixels of the larger side of an image on the page."""
HEAT = (255, 90, 0)
"""The colour of weights."""


@dataclass(frozen=True)
class Caption(Prediction):
    """The caption of an image, and where each of its words looked.

    Attributes:
      text: the caption.
      image: pixels, as the model saw them.
      words: of the caption.
      maps: for each word the weights of the grid of patches; each sums to 1.
      name: of the image, for the names of files.
      weights_of: the layer and heads that the maps come from.
      log_prob: the logarithm of the probability of the tokens and the end mark.
      score: what beams are ranked by.
      others: the next best captions.
    """

    text: str
    image: UInt8[np.ndarray, "Y X C"]
    words: list[str]
    maps: Float[np.ndarray, "W y x"]
    name: str = "image"
    weights_of: str = "attention"
    log_prob: float | None = None
    score: float | None = None
    others: "tuple[Caption, ...]" = field(default=())

    def record(self) -> dict[str, Any]:
        """Returns the caption, and the next best ones where there are such."""
        if not self.others:
            return {"caption": self.text}
        ranked = [
            {"caption": one.text, "log_prob": one.log_prob, "score": one.score} for one in self.ranked()
        ]
        return {"caption": self.text, "n_best": ranked}

    def ranked(self) -> "list[Caption]":
        """Returns this one and the next best ones."""
        return [self, *self.others]

    def details(self) -> dict[str, Any]:
        """Returns the words and their weights, rounded to four digits."""
        return {
            "words": self.words,
            "maps": self.maps.astype(float).round(4).tolist(),
            "weights_of": self.weights_of,
        }

    def picture(self) -> str:
        """Returns for each word the patch that it looks at most."""
        width = max(map(len, self.words), default=0)
        lines = []
        for word, weights in zip(self.words, self.maps, strict=True):
            row, column = np.unravel_index(int(weights.argmax()), weights.shape)
            share = f"{100 * weights.max():.0f} %"
            lines.append(f"{word:{width}}  row {row + 1}, column {column + 1}: {share}")
        return "\n".join(lines)

    def save(self, folder: Path, named: Callable[[str], str] = str) -> list[Path]:
        """Writes NAME.caption.png and NAME.caption.html: the image under each word's weights."""
        from attnjax.tasks.pictures import encoded

        name = named(self.name)
        picture, page = (folder / f"{name}.caption.{kind}" for kind in ("png", "html"))
        picture.write_bytes(encoded(overlays([self], [self.name])))
        page.write_text(as_page(self), encoding="utf-8")
        return [picture, page]


def overlays(
    captions: Sequence[Caption],
    titles: Sequence[str],
    about: str = "Where it looks when it writes each word",
    columns: int = COLUMNS,
) -> Any:
    """Returns a figure with a block of panels for each caption: the image, then a panel for each word."""
    from matplotlib.figure import Figure

    rows = [-(-(len(one.words) + 1) // columns) for one in captions]
    figure = Figure(figsize=(max(4.5, 1.35 * columns), 1.6 * sum(rows) + 0.5), layout="constrained", dpi=150)
    figure.set_facecolor("white")
    panels = figure.subplots(sum(rows), columns, squeeze=False)
    for panel in panels.flat:
        panel.set_axis_off()
    for first, count, one, title in zip(np.cumsum([0, *rows]), rows, captions, titles, strict=False):
        own = panels[first : first + count].flat
        _show(next(own), one.image, textwrap.fill(title, 20))
        for panel, word, weights in zip(own, one.words, one.maps, strict=False):
            _show(panel, blended(one.image, weights), word)
    sources = dict.fromkeys(one.weights_of for one in captions)
    figure.suptitle("\n".join([about, *sources]), fontsize=9)
    return figure


def as_page(caption: Caption) -> str:
    """Returns a page that needs nothing else: the image, and for each word what it looked at."""
    height, width = caption.image.shape[:2]
    scale = max(1, SHOWN_SIDE // max(height, width))
    sizes = height * scale, width * scale

    def figure(pixels: np.ndarray, text: str, note: str) -> str:
        data = base64.b64encode(png(enlarged(pixels, *sizes))).decode()
        shown = html.escape(text)
        return (
            f'<figure><img src="data:image/png;base64,{data}" alt="{shown}: {html.escape(note)}">'
            f"<figcaption><b>{shown}</b><br>{html.escape(note)}</figcaption></figure>"
        )

    figures = [figure(caption.image, caption.name, f"{width} × {height} pixels")]
    lines = caption.picture().splitlines()
    for word, weights, line in zip(caption.words, caption.maps, lines, strict=True):
        figures.append(figure(blended(caption.image, weights), word, line.removeprefix(word).strip()))
    return _PAGE.format(
        title=html.escape(caption.text or "(nothing)"),
        source=html.escape(caption.weights_of),
        figures="\n".join(figures),
    )


def blended(
    image: UInt8[np.ndarray, "Y X C"], weights: Float[np.ndarray, "y x"]
) -> UInt8[np.ndarray, "Y X 3"]:
    """Returns the image, darker, under weights in orange, the greatest of which covers it most."""
    height, width = image.shape[:2]
    share = weights / max(float(weights.max()), 1e-12)
    cover = 0.65 * enlarged(share[..., None], height, width)
    grey = 0.75 * np.broadcast_to(image, (height, width, 3)).astype(np.float64)
    return np.rint((1 - cover) * grey + cover * np.array(HEAT)).astype(np.uint8)


def _show(panel: "Axes", pixels: np.ndarray, title: str) -> None:
    panel.imshow(pixels[..., 0] if pixels.shape[-1] == 1 else pixels, cmap="gray", vmin=0, vmax=255)
    panel.set_title(title, fontsize=8)


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem;
  color: #1b1b1f; background: #fff; }}
main {{ display: flex; flex-wrap: wrap; gap: 1rem; }}
figure {{ margin: 0; }}
img {{ display: block; image-rendering: pixelated; max-width: 100%; }}
figcaption {{ font-size: .85rem; }}
@media (prefers-color-scheme: dark) {{ body {{ color: #e6e6ea; background: #16161a; }} }}
</style>
<h1>{title}</h1>
<p>Where it looks when it writes each word: {source}. What it looks at most is orange.</p>
<main>
{figures}
</main>
</html>
"""
