"""An explanation of what a model made of an input, and its page."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from attnjax.config import require
from attnjax.explain.viewer.contents import AttentionMap, PatchImage, Saliency, Tokens
from attnjax.explain.viewer.packing import BUDGET, TILE, Packer
from attnjax.explain.viewer.template import filled, framed

PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, eq=False)
class Explanation:
    """The maps and attributions of one input, as the viewer shows it.

    Attributes:
      title: the input, in short.
      maps: of attention.
      saliencies: attributions, side by side.
      written: the tokens that the model wrote, in order.
      subtitle: the model, in words.
      image: that was read.

    Raises:
      InputError: There is nothing to show, or parts do not fit.

    Example:
      >>> weights = np.array([[[1.0, 0.0], [0.5, 0.5]]])
      >>> shown = Explanation("two tokens", [AttentionMap("blocks.0.attention", "ab", "ab", weights)])
      >>> "<iframe" in shown._repr_html_()
      True
    """

    title: str
    maps: Sequence[AttentionMap] = ()
    saliencies: Sequence[Saliency] = ()
    written: Tokens = ()
    subtitle: str = ""
    image: PatchImage | None = None

    def __post_init__(self) -> None:
        require(
            len(self.maps) + len(self.saliencies) > 0,
            f"{self.title!r} has neither maps nor saliencies: expected something to show",
        )
        for shown in self.maps:
            end = 0 if shown.first_written is None else shown.first_written + len(self.written)
            require(
                end <= len(shown.rows),
                f"{shown.name}: first_written {shown.first_written} with {len(self.written)} written tokens: "
                f"the map has {len(shown.rows)} rows",
            )
        for scored in self.saliencies:
            shape = np.shape(scored.scores)
            require(
                len(shape) == 1 or shape[0] == len(self.written),
                f"{scored.method}: scores {list(shape)}: expected a row for each of {len(self.written)} "
                "written tokens",
            )
        if self.image is not None:
            require(self.image.png.startswith(PNG), "image.png is no PNG file")

    def _repr_html_(self) -> str:
        return framed(self.title, page(self))


def page(explanations: Explanation | Sequence[Explanation], *, budget: int = BUDGET) -> str:
    """Returns a page that shows explanations; style, script and data are inside.

    Weights are stored with the precision that the page states. Maps of more than 512 tokens have an overview
    in which a pixel is the largest of its weights; the sharpest heads have all weights too, as far as the
    budget goes.

    Args:
      explanations: one, or one for each input.
      budget: characters for the full weights of long maps, of all heads together.

    Raises:
      InputError: There are no explanations.
    """
    shown = [explanations] if isinstance(explanations, Explanation) else list(explanations)
    require(len(shown) > 0, "explanations is empty: expected 1 or more")
    packer = Packer(budget)
    labels = Labels()
    records = [_record(explanation, packer, labels) for explanation in shown]
    contents = {"explanations": records, "tokens": labels.lists, "tile": TILE}
    packed = packer.finish()  # Before the contents are written: they name the places of all pieces.
    return filled(shown[0].title if len(shown) == 1 else f"{len(shown)} inputs", contents, *packed)


class Labels:
    """Lists of tokens, each of which is written once."""

    def __init__(self) -> None:
        self.lists: list[list[str]] = []
        self._known: dict[tuple[str, ...], int] = {}

    def number(self, tokens: Tokens) -> int:
        """Returns the number of a list."""
        key = tuple(map(str, tokens))
        if key not in self._known:
            self._known[key] = len(self.lists)
            self.lists.append(list(key))
        return self._known[key]


def _record(shown: Explanation, packer: Packer, labels: Labels) -> dict[str, Any]:
    image = shown.image
    return {
        "title": shown.title,
        "subtitle": shown.subtitle,
        "written": list(shown.written),
        "maps": [
            packer.add(each) | {"rows": labels.number(each.rows), "columns": labels.number(each.columns)}
            for each in shown.maps
        ],
        "saliencies": [_saliency(each, labels) for each in shown.saliencies],
        "image": image and image._asdict() | {"png": base64.b64encode(image.png).decode()},
    }


def _saliency(shown: Saliency, labels: Labels) -> dict[str, Any]:
    scores = np.asarray(shown.scores, float)
    rounded = [[float(f"{x:.4g}") for x in row] for row in np.atleast_2d(scores)]
    return {
        "method": shown.method,
        "target": shown.target,
        "tokens": labels.number(shown.tokens),
        "scores": rounded,
        "stepped": scores.ndim == 2,
        "faithfulness": {
            name: {key: value if value is None else float(value) for key, value in row._asdict().items()}
            for name, row in shown.faithfulness.items()
        },
    }
