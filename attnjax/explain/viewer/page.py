"""Explanations as one HTML page, and as a frame for notebooks."""

import base64
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from attnjax.config import require
from attnjax.explain.viewer.contents import Explanation, Saliency, Tokens
from attnjax.explain.viewer.packing import BUDGET, TILE, Packer
from attnjax.runs.report.document import text

SCRIPTS = ("data", "colours", "state", "heads", "map", "tokens", "saliency", "pictures", "export", "main")
"""The files of the page's script, in order."""
FRAME_HEIGHT_PIXELS = 760


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
    pieces = packer.finish()  # Before the contents are written: they name the places of all pieces.
    filled = {
        "TITLE": text(shown[0].title if len(shown) == 1 else f"{len(shown)} inputs"),
        "STYLE": _asset("viewer.css"),
        "CONTENTS": inside_script(contents),
        "PIECES": pieces,
        "SCRIPT": "".join(_asset(f"{name}.js") for name in SCRIPTS),
    }
    first, *rest = _asset("viewer.html").split("{{")
    parts = [part.partition("}}") for part in rest]
    return first + "".join(filled[name] + after for name, _, after in parts)


def frame(explanations: Sequence[Explanation]) -> str:
    """Returns the page in a frame, as a notebook shows it."""
    style = f"width:100%;height:{FRAME_HEIGHT_PIXELS}px;border:0"
    rights = "allow-scripts allow-downloads"
    title, inside = text(explanations[0].title), text(page(explanations))
    return f'<iframe title="{title}" style="{style}" sandbox="{rights}" srcdoc="{inside}"></iframe>'


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


def inside_script(value: Any) -> str:
    r"""Returns JSON that ends no script element, whatever its texts are.

    >>> inside_script(["</script>", 1])
    '["\\u003c/script>",1]'
    """
    written = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return written.replace("<", "\\u003c")


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


def _asset(name: str) -> str:
    return files("attnjax.explain.viewer").joinpath("assets", name).read_text(encoding="utf-8")
