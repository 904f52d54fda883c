"""The lines of files, which may be packed with gzip: one after another, however large the file is."""

import codecs
import gzip
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from attnjax.config import InputError


def lines_of(path: Path) -> Iterator[bytes]:
    """Yields the lines of a file, as they come, without their ends; a file named .gz is unpacked on the way.

    Only line feeds (and carriage returns before them) end a line.

    Raises:
      InputError: the file cannot be read, or has nothing in it but whitespace.
    """
    empty = True
    with opened(path) as file:
        try:
            for number, line in enumerate(file):
                line = line.removesuffix(b"\n")
                line = line.removeprefix(codecs.BOM_UTF8) if number == 0 else line
                empty = empty and not line.strip()
                yield line
        except (OSError, EOFError, zlib.error) as error:
            raise _unreadable(path, error) from error
    if empty:
        raise InputError(f"{path}: the file is empty")


def opened(path: Path) -> BinaryIO:
    """Returns a file's bytes, unpacked where its name ends in .gz. Raises InputError where there is none."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from error
    return gzip.open(file) if path.suffix == ".gz" else file  # type: ignore[return-value]


def content(path: Path) -> bytes:
    """Returns all bytes of a file, unpacked where its name ends in .gz. Raises InputError as `opened`."""
    with opened(path) as file:
        try:
            return file.read()
        except (OSError, EOFError, zlib.error) as error:
            raise _unreadable(path, error) from error


def decoded_lines(lines: Iterable[bytes], source: str) -> Iterator[str]:
    """Yields the lines of a UTF-8 text as they come, without their ends, in Unicode's composed form (NFC).

    Raises:
      InputError: a line is not UTF-8; the message has `source` and the line's number.
    """
    for number, line in enumerate(lines, 1):
        line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        yield decoded(line.removesuffix(b"\n"), f"{source}:{number}")


def decoded(line: bytes, place: str) -> str:
    """Returns the text of one line. Raises InputError with the place where it is not UTF-8."""
    try:
        return unicodedata.normalize("NFC", line.removesuffix(b"\r").decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{place}: not UTF-8 (byte 0x{line[error.start]:02x} at position {error.start + 1} of the line)"
        ) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or str(error)
    return InputError(f"{path}: cannot be read ({reason.lower()})")
