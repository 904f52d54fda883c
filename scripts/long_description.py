"""What an index of packages shows: README.md, with the names of what lies beside it in the repository.

There its relative pictures and links lead nowhere.
"""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

# ![text](place) and [text](place), where the place is no address.
_RELATIVE = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<place>(?!\w+:|#)[^)\s]+)\)")


class LongDescription(MetadataHookInterface):
    """Gives the built package its description."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": without_relative_places(text)}


def without_relative_places(markdown: str) -> str:
    """Returns the text with pictures and links that are relative as words.

    >>> print(without_relative_places("![Map: a](docs/a.png), [all](docs/all.html), [jax](https://jax.dev)"))
    *Picture docs/a.png: Map: a*, all (docs/all.html), [jax](https://jax.dev)
    """

    def words(found: re.Match[str]) -> str:
        if found["picture"]:
            return f"*Picture {found['place']}: {found['text']}*"
        return f"{found['text']} ({found['place']})"

    return _RELATIVE.sub(words, markdown)
