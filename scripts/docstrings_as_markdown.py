"""For the site: docstrings as Markdown, which takes >>> for a quotation and [*B, T] … [*B] for emphasis."""

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^( *)>>> .*(?:\n\1(?=.*\S).*)*", re.MULTILINE)
_FLAGS = re.compile(r" *# doctest: .*$", re.MULTILINE)
_CODE_OR_SHAPE = re.compile(r"(`[^`]*`|^ *>>> .*$)|\[\*", re.MULTILINE)


def markdown(text: str) -> str:
    """Returns the text with a fence around each example, up to an empty line, and shapes without emphasis.

    >>> print(markdown("of shape [*B], `x[*y]`"))
    of shape [\\*B], `x[*y]`
    >>> markdown("  >>> 1 + 1").splitlines()
    ['  ```pycon', '  >>> 1 + 1', '  ```']
    >>> markdown(">>> f()  # doctest: +SKIP\\none\\n  two\\n\\nafter").splitlines()
    ['```pycon', '>>> f()', 'one', '  two', '```', '', 'after']
    """
    text = _CODE_OR_SHAPE.sub(lambda found: found[1] or r"[\*", _FLAGS.sub("", text))
    return _EXAMPLE.sub(lambda found: f"{found[1]}```pycon\n{found[0]}\n{found[1]}```", text)


class DocstringsAsMarkdown(griffe.Extension):
    """Changes docstrings as they are read from the source."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Changes the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)
