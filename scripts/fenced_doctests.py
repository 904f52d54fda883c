"""For the site: examples in docstrings become blocks of code; Markdown takes >>> for quotations."""

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^( *)>>> .*(?:\n\1(?=\S).*)*", re.MULTILINE)


def fenced(text: str) -> str:
    r"""Returns the text with a fence around each example: from >>> to the next empty line.

    >>> print(fenced("Adds.\n\n  >>> 1 + 1\n  2\n").replace("`", "'"))
    Adds.
    <BLANKLINE>
      '''pycon
      >>> 1 + 1
      2
      '''
    <BLANKLINE>
    """
    return _EXAMPLE.sub(lambda found: f"{found[1]}```pycon\n{found[0]}\n{found[1]}```", text)


class FencedDoctests(griffe.Extension):
    """Changes docstrings as they are read from the source."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Changes the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)
