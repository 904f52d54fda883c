"""The objects that were found in an image, as an answer, and what their queries attended to."""

import base64
import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from attnjax.tasks.base import Prediction
from attnjax.tasks.captioning.caption import blended
from attnjax.tasks.detection.looks import cell_shares

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 5
"""Panels of a row."""


class FoundObject(NamedTuple):
    """An object that was found.

    Attributes:
      name: of its label.
      score: the probability of the label.
      box: left, top, right and bottom, in shares of the image.
      weights: of its query over the cells of the image; they sum to 1.
    """

    name: str
    score: float
    box: tuple[float, float, float, float]
    weights: Float[np.ndarray, "y x"]

    @property
    def inside(self) -> float:
        """The share of the weights that lies in the box."""
        shares = cell_shares(np.array([self.box]), *self.weights.shape)
        return float((shares[0] * self.weights.reshape(-1)).sum())


@dataclass(frozen=True)
class FoundObjects(Prediction):
    """The objects of an image, those with the highest scores first.

    Attributes:
      image: pixels, as the model saw them.
      sides: height and width of the image as it was given, in pixels.
      objects: what was found.
      name: of the image, for the names of files.
      weights_of: the layer and heads that the weights come from.
    """

    image: UInt8[np.ndarray, "Y X C"]
    sides: tuple[int, int]
    objects: tuple[FoundObject, ...]
    name: str
    weights_of: str

    @property
    def text(self) -> str:  # type: ignore[override]
        """The names of what was found, each with its score."""
        return ", ".join(f"{one.name} {100 * one.score:.0f} %" for one in self.objects) or "nothing"

    def record(self) -> dict[str, Any]:
        """Returns the objects with boxes as COCO has them: left, top, width and height, in pixels."""
        return {"objects": [self._entry(one) for one in self.objects]}

    def details(self) -> dict[str, Any]:
        """Returns the weights of each object's query, rounded to four digits."""
        return {
            "attention": [np.round(one.weights, 4).tolist() for one in self.objects],
            "weights_of": self.weights_of,
        }

    def picture(self) -> str:
        """Returns a line for each object: its box, and how much its query attends to it."""
        return "\n".join(self._line(one) for one in self.objects)

    def save(self, folder: Path, named: Callable[[str], str] = str) -> list[Path]:
        """Writes NAME.detection.png and NAME.detection.html: boxes, and what each query attended to."""
        from attnjax.tasks.pictures import encoded

        name = named(self.name)
        picture, page = (folder / f"{name}.detection.{kind}" for kind in ("png", "html"))
        drawn = encoded(objects_figure([self], [self.name]))
        picture.write_bytes(drawn)
        data = base64.b64encode(drawn).decode()
        lines = "\n".join(f"<li>{html.escape(self._line(one))}</li>" for one in self.objects)
        page.write_text(
            _PAGE.format(
                title=html.escape(self.text), source=html.escape(self.weights_of), data=data, lines=lines
            ),
            encoding="utf-8",
        )
        return [picture, page]

    def _entry(self, one: FoundObject) -> dict[str, Any]:
        height, width = self.sides
        left, top, right, bottom = one.box
        box = (left * width, top * height, (right - left) * width, (bottom - top) * height)
        return {"label": one.name, "score": round(one.score, 4), "bbox": [round(x, 1) for x in box]}

    def _line(self, one: FoundObject) -> str:
        left, top, width, height = self._entry(one)["bbox"]
        return (
            f"{one.name} {100 * one.score:.0f} %: {width:g} × {height:g} pixels at {left:g}, {top:g}; "
            f"{100 * one.inside:.0f} % of its attention lies in the box"
        )


def objects_figure(images: Sequence[FoundObjects], titles: Sequence[str]) -> "Figure":
    """Returns a figure with a row for each image: all boxes, then a panel for each object's attention."""
    from matplotlib.figure import Figure

    columns = min(COLUMNS, 1 + max((len(one.objects) for one in images), default=0))
    # A figure of one column has room for the title too.
    figure = Figure(figsize=(max(1.7 * columns, 4.2), 1.9 * len(images) + 0.5), layout="constrained", dpi=150)
    figure.set_facecolor("white")
    panels = figure.subplots(len(images), columns, squeeze=False)
    for own, one, title in zip(panels, images, titles, strict=True):
        for panel in own:
            panel.set_axis_off()
        _show(own[0], one.image, one.objects, title)
        for panel, found in zip(own[1:], one.objects, strict=False):
            name = f"{found.name} {100 * found.score:.0f} %\n{100 * found.inside:.0f} % in the box"
            _show(panel, blended(one.image, found.weights), [found], name)
    sources = dict.fromkeys(one.weights_of for one in images)
    figure.suptitle("\n".join(["What the query of each found object attends to", *sources]), fontsize=9)
    return figure


def _show(panel: "Axes", pixels: np.ndarray, objects: Sequence[FoundObject], title: str) -> None:
    from matplotlib.patches import Rectangle

    height, width = pixels.shape[:2]
    panel.imshow(pixels)
    for one in objects:
        left, top, right, bottom = np.array(one.box) * (width, height, width, height)
        # The middle of the first pixel is at 0.
        corner = (left - 0.5, top - 0.5)
        panel.add_patch(
            Rectangle(corner, right - left, bottom - top, fill=False, edgecolor="white", linewidth=1.2)
        )
    panel.set_title(title, fontsize=8)


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem;
  color: #1b1b1f; background: #fff; }}
img {{ max-width: 100%; }}
@media (prefers-color-scheme: dark) {{ body {{ color: #e6e6ea; background: #16161a; }} }}
</style>
<h1>{title}</h1>
<p>What the query of each found object attends to: {source}. What it attends to most is orange.</p>
<img src="data:image/png;base64,{data}" alt="The image with the boxes, and for each object its attention">
<ul>
{lines}
</ul>
</html>
"""
