"""A user's parallel corpus: a TSV file, or two files whose lines correspond. Errors name file and line."""

import codecs
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from attnjax.config import InputError, require
from attnjax.data.text.example import Example


def read_parallel_text(
    source: Path, target: Path | None = None, *, group: str
) -> tuple[list[Example], list[str]]:
    """Reads pairs from `source`, a TSV file (source<TAB>target), or from two line-aligned UTF-8 files.

    Texts are stripped and put into Unicode's composed form (NFC). Every example gets the given group.

    Returns:
      The examples, and "file:line: why" for every line that is none: text that is not UTF-8, another number
      of columns than two, an empty side.

    Raises:
      InputError: a missing or empty file, files of different lengths.
    """
    files = [source] if target is None else [source, target]
    lines = [_lines(file) for file in files]
    if target is not None:
        _require_aligned(source, len(lines[0]), target, len(lines[1]))
    examples, malformed = [], []
    for number, line in enumerate(zip(*lines, strict=True), 1):
        try:
            texts = _pair(line, [f"{file}:{number}" for file in files])
        except InputError as error:
            malformed.append(str(error))
        else:
            examples.append(Example(*texts, group, f"{source}:{number}"))
    return examples, malformed


def decoded_lines(lines: Iterable[bytes], source: str) -> Iterator[str]:
    """Yields the lines of a UTF-8 text as they come, without their ends, in Unicode's composed form (NFC).

    Raises:
      InputError: a line is not UTF-8; the message has `source` and the line's number.
    """
    for number, line in enumerate(lines, 1):
        line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        yield _decoded(line.removesuffix(b"\n"), f"{source}:{number}")


def _require_aligned(source: Path, sources: int, target: Path, targets: int) -> None:
    shorter, longer = (source, target) if sources < targets else (target, source)
    count = min(sources, targets)
    require(
        sources == targets,
        f"{longer}:{count + 1}: no such line in {shorter}, which ends after line {count}: "
        f"line-aligned files need equally many lines ({sources} and {targets} came)",
    )


def _pair(lines: Sequence[bytes], places: Sequence[str]) -> tuple[str, str]:
    """Returns the texts of one line of a TSV file, or of one line of each of two files."""
    texts = [_decoded(line, place) for line, place in zip(lines, places, strict=True)]
    if len(texts) == 1:
        texts = texts[0].split("\t")
        count = len(texts)
        require(count == 2, f"{places[0]}: {count} tab-separated column(s), expected 2 (source<TAB>target)")
    source, target = map(str.strip, texts)
    require(source != "", f"{places[0]}: the source text is empty")
    require(target != "", f"{places[-1]}: the target text is empty")
    return source, target


def _lines(path: Path) -> list[bytes]:
    """Returns the lines of a file. Only line feeds (and carriage returns before them) end a line."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({(error.strerror or str(error)).lower()})") from error
    if not content.strip():
        raise InputError(f"{path}: the file is empty")
    return content.removeprefix(codecs.BOM_UTF8).removesuffix(b"\n").split(b"\n")


def _decoded(line: bytes, place: str) -> str:
    try:
        return unicodedata.normalize("NFC", line.removesuffix(b"\r").decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{place}: not UTF-8 (byte 0x{line[error.start]:02x} at position {error.start + 1} of the line)"
        ) from error
