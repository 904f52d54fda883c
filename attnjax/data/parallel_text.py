"""A user's parallel corpus: a TSV file, or two files whose lines correspond. Errors name file and line."""

import codecs
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from attnjax.config import InputError, require
from attnjax.data.example import Example


def read_parallel_text(source: Path, target: Path | None = None, *, group: str) -> list[Example]:
    """Reads pairs from `source`, a TSV file (source<TAB>target), or from two line-aligned UTF-8 files.

    Texts are stripped and put into Unicode's composed form (NFC). Every example gets the given group. Raises
    InputError, with file and line, for a missing or empty file, text that is not UTF-8, a line without
    exactly two columns, an empty side, and files of different lengths.
    """
    lines = _lines(source)
    if target is None:
        pairs = [_columns(line, f"{source}:{number}") for number, line in enumerate(lines, 1)]
    else:
        pairs = _aligned(source, lines, target, _lines(target))
    for number, (text, translation) in enumerate(pairs, 1):
        require(text != "", f"{source}:{number}: the source text is empty")
        require(translation != "", f"{target or source}:{number}: the target text is empty")
    return [Example(*texts, group, f"{source}:{number}") for number, texts in enumerate(pairs, 1)]


def _aligned(source: Path, sources: list[str], target: Path, targets: list[str]) -> list[tuple[str, str]]:
    if len(sources) != len(targets):
        shorter, longer = (source, target) if len(sources) < len(targets) else (target, source)
        count = min(len(sources), len(targets))
        raise InputError(
            f"{longer}:{count + 1}: no such line in {shorter}, which ends after line {count}: "
            f"line-aligned files need equally many lines ({len(sources)} and {len(targets)} came)"
        )
    return list(zip(map(str.strip, sources), map(str.strip, targets), strict=True))


def _columns(line: str, place: str) -> tuple[str, str]:
    columns = line.split("\t")
    if len(columns) != 2:
        raise InputError(f"{place}: {len(columns)} tab-separated column(s), expected 2 (source<TAB>target)")
    return columns[0].strip(), columns[1].strip()


def _lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file. Only line feeds (and carriage returns before them) end a line."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({(error.strerror or str(error)).lower()})") from error
    if not content.strip():
        raise InputError(f"{path}: the file is empty")
    return list(decoded_lines(content.removesuffix(b"\n").split(b"\n"), str(path)))


def decoded_lines(lines: Iterable[bytes], source: str) -> Iterator[str]:
    """The lines of a UTF-8 text as they come, without their ends, in Unicode's composed form (NFC).

    Raises InputError, with `source` and the line's number, for a line that is not UTF-8.
    """
    for number, line in enumerate(lines, 1):
        line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        yield _decoded(line.removesuffix(b"\n"), f"{source}:{number}")


def _decoded(line: bytes, place: str) -> str:
    try:
        return unicodedata.normalize("NFC", line.removesuffix(b"\r").decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{place}: not UTF-8 (byte 0x{line[error.start]:02x} at position {error.start + 1} of the line)"
        ) from error
