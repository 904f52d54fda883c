"""The page's template and its parts, filled in, and as a frame for notebooks."""

import json
from importlib.resources import files
from typing import Any

from attnjax.runs.report.document import text

SCRIPTS = ("data", "colours", "state", "heads", "map", "tokens", "saliency", "pictures", "export", "main")
"""The files of the page's script, in order."""
FRAME_HEIGHT_PIXELS = 760


def filled(title: str, contents: Any, thumbnails: str, pieces: str) -> str:
    """Returns the page.

    Args:
      title: a text.
      contents: what the script reads, as JSON holds it.
      thumbnails: packed weights of small pictures, as base64; they come before the script.
      pieces: other packed weights, which come after it.
    """
    values = {
        "TITLE": text(title),
        "STYLE": _asset("viewer.css"),
        "CONTENTS": inside_script(contents),
        "THUMBNAILS": thumbnails,
        "PIECES": pieces,
        "SCRIPT": "".join(_asset(f"{name}.js") for name in SCRIPTS),
    }
    first, *rest = _asset("viewer.html").split("{{")
    parts = [part.partition("}}") for part in rest]
    return first + "".join(values[name] + after for name, _, after in parts)


def framed(title: str, page: str) -> str:
    """Returns a page in a frame, as a notebook shows it."""
    style = f"width:100%;height:{FRAME_HEIGHT_PIXELS}px;border:0"
    rights = "allow-scripts allow-downloads"
    return f'<iframe title="{text(title)}" style="{style}" sandbox="{rights}" srcdoc="{text(page)}"></iframe>'


def inside_script(value: Any) -> str:
    r"""Returns JSON that ends no script element, whatever its texts are.

    >>> inside_script(["</script>", 1])
    '["\\u003c/script>",1]'
    """
    written = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return written.replace("<", "\\u003c")


def _asset(name: str) -> str:
    return files("attnjax.explain.viewer").joinpath("assets", name).read_text(encoding="utf-8")
