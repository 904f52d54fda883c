"""Translation memories (TMX): units of segments in several languages, read as they come."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.parsers import expat

from attnjax.config import InputError, require
from attnjax.data.text.lines import opened

CODES = frozenset({"bpt", "ept", "it", "ph", "sub", "ut"})
"""Elements inside a segment that hold what another program makes of it, such as markup, and no text."""
CHUNK = 1 << 16
"""Bytes that are parsed together."""
LANGUAGE = re.compile(r"[-_]")

Unit = tuple[int, dict[str, str]]
"""The line on which a unit begins, and its segments by language."""


def units(path: Path) -> Iterator[Unit]:
    """Yields the units of a memory: each by its line, and with its segments by language, in lower case.

    Of two segments of a unit in one language the first counts. Codes of other programs inside of segments
    are left out; whitespace becomes single spaces. Nothing outside the file is ever read.

    Raises:
      InputError: the file cannot be read, is no TMX, or declares entities of its own.
    """
    reader = _Reader(path)
    with opened(path) as file:
        while True:
            try:
                chunk = file.read(CHUNK)
                reader.parser.Parse(chunk, not chunk)
            except expat.ExpatError as error:
                reason = expat.ErrorString(error.code)
                raise InputError(f"{path}:{error.lineno}: not XML ({reason})") from None
            yield from reader.found
            reader.found.clear()
            if not chunk:
                return


def in_language(segments: dict[str, str], language: str) -> str | None:
    """Returns the segment of a language; "de" finds "de-at" too, "de-at" only itself.

    >>> in_language({"de-at": "Jänner", "en": "January"}, "DE")
    'Jänner'
    """
    wanted = LANGUAGE.split(language.lower())
    for name, text in segments.items():
        if LANGUAGE.split(name)[: len(wanted)] == wanted:
            return text
    return None


class _Reader:
    """The handlers of a parser, and the units that they found."""

    def __init__(self, path: Path) -> None:
        self.found: list[Unit] = []
        self._path, self._root = path, True
        self._line, self._segments = 0, dict[str, str]()
        self._language = ""
        self._text: list[str] | None = None
        self._codes = 0
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.SkippedEntityHandler = self._skipped
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters

    def _doctype(self, name: str, system: Any, public: Any, declares: int) -> None:
        # Entities that stand for each other make gigabytes of a few lines. The DTD of TMX is only named.
        require(not declares, f"{self._place}: it declares a DTD of its own, which is not read")

    def _skipped(self, name: str, parameter: int) -> None:
        raise InputError(f"{self._place}: the entity &{name}; is declared elsewhere, which is not read")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        require(not self._root or name == "tmx", f"{self._place}: <{name}>, expected <tmx>")
        self._root = False
        if name == "tu":
            self._line, self._segments = self.parser.CurrentLineNumber, {}
        elif name == "tuv":
            self._language = (attributes.get("xml:lang") or attributes.get("lang") or "").lower()
        elif name == "seg":
            self._text = []
        elif name in CODES:
            self._codes += 1

    def _end(self, name: str) -> None:
        if name == "tu":
            self.found.append((self._line, self._segments))
        elif name == "seg" and self._text is not None:
            self._segments.setdefault(self._language, " ".join("".join(self._text).split()))
            self._text = None
        elif name in CODES:
            self._codes -= 1

    def _characters(self, text: str) -> None:
        if self._text is not None and not self._codes:
            self._text.append(text)

    @property
    def _place(self) -> str:
        return f"{self._path}:{self.parser.CurrentLineNumber}"
