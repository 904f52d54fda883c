"""Catalogs of messages (gettext, .po and .mo): what a program says, and its translation."""

import ast
import re
import struct
from collections.abc import Iterator
from pathlib import Path

from attnjax.config import InputError, require
from attnjax.data.text.lines import content

MAGIC = b"\xde\x12\x04\x95"
"""The first bytes of a .mo file whose numbers are little-endian; of others they are turned round."""
KEYWORD = re.compile(r'(msgctxt|msgid_plural|msgid|msgstr(?:\[\d+\])?)\s*(".*")$')
CHARSET = re.compile(rb"charset=([\w.-]+)")

Message = tuple[int, str, str]
"""The place of a message (a line of .po, a number in .mo), the message, and its translation."""


def messages(path: Path) -> Iterator[Message]:
    """Yields the translated messages of a catalog, each plural form by itself; whitespace is single spaces.

    Of a .po file what is fuzzy, obsolete or not translated is left out. The second form of a message goes
    with the second of its translation; further ones have no message of their own.

    Raises:
      InputError: the file cannot be read, or is no catalog.
    """
    binary = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    for place, forms, translated in _compiled(path) if binary == ".mo" else _written(path):
        for one, other in zip(forms, translated, strict=False):
            if forms[0] and other.strip():  # The empty message is the catalog's header.
                yield place, " ".join(one.split()), " ".join(other.split())


Entry = tuple[int, list[str], list[str]]


def _compiled(path: Path) -> Iterator[Entry]:
    data = content(path)
    require(data[:4] in (MAGIC, MAGIC[::-1]), f"{path}: not a catalog (.mo)")
    order = "<" if data.startswith(MAGIC) else ">"
    try:
        count, *tables = struct.unpack(f"{order}3I", data[8:20])
        for i in range(count):
            forms = []
            for table in tables:
                length, start = struct.unpack_from(f"{order}2I", data, table + 8 * i)
                forms.append(data[start : start + length].decode().split("\4")[-1].split("\0"))
            yield i + 1, forms[0], forms[1]
    except (struct.error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a catalog ({error})") from error


def _written(path: Path) -> Iterator[Entry]:
    data = content(path)
    charset = found[1].decode() if (found := CHARSET.search(data)) else "utf-8"
    charset = "utf-8" if charset == "CHARSET" else charset  # That of templates.
    try:
        lines = data.decode(charset).split("\n")  # Other separators are part of a message.
    except (UnicodeDecodeError, LookupError) as error:
        raise InputError(f"{path}: not in its charset, {charset} ({error})") from error
    entry, fuzzy, key, place = dict[str, str](), False, "", 0
    for number, line in enumerate([*lines, ""], 1):
        line = line.strip()
        keyword = KEYWORD.match(line)
        begins = not line or line.startswith("#") or (keyword and keyword[1] in ("msgctxt", "msgid"))
        if begins and any(name.startswith("msgstr") for name in entry):
            if not fuzzy:
                own, translated = _forms(entry)
                yield place, own, translated
            entry, fuzzy = {}, False
        if line.startswith("#,") and "fuzzy" in line:
            fuzzy = True
        if keyword:
            key, place = keyword[1], number if keyword[1] == "msgid" else place
            entry[key] = _text(keyword[2], f"{path}:{number}")
        elif line.startswith('"'):
            require(key in entry, f"{path}:{number}: a text without msgid or msgstr before it")
            entry[key] += _text(line, f"{path}:{number}")
        elif line and not line.startswith("#"):
            raise InputError(f"{path}:{number}: {line[:40]!r}, expected msgid, msgstr or a text in quotes")


def _forms(entry: dict[str, str]) -> tuple[list[str], list[str]]:
    """Returns the forms of a message, and of its translation."""
    own = [entry[name] for name in ("msgid", "msgid_plural") if name in entry]
    return own or [""], [text for name, text in sorted(entry.items()) if name.startswith("msgstr")]


def _text(quoted: str, place: str) -> str:
    try:
        return str(ast.literal_eval(quoted))
    except (SyntaxError, ValueError):
        raise InputError(f"{place}: {quoted[:40]}, expected a text in quotes") from None
