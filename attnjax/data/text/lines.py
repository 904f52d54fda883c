"""The lines of files, which may be packed with gzip: one after another, however large the file is."""

import codecs
import gzip
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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
        for number, line in enumerate(file):
            line = line.removesuffix(b"\n")
            line = line.removeprefix(codecs.BOM_UTF8) if number == 0 else line
            empty = empty and not line.strip()
            yield line
    if empty:
        raise InputError(f"{path}: the file is empty")


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Opens a file's bytes, unpacked where its name ends in .gz.

    Raises:
      InputError: there is none, or what is read on the way is broken.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield file  # type: ignore[misc]
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: cannot be read ({reason.lower()})") from error


def content(path: Path) -> bytes:
    """Returns all bytes of a file, unpacked where its name ends in .gz. Raises InputError as `opened`."""
    with opened(path) as file:
        return file.read()


def decoded_lines(lines: Iterable[bytes], source: str) -> Iterator[str]:
    """Yields the lines of a UTF-8 text as they come, without their ends, in Unicode's composed form (NFC).

    Raises:
      InputError: a line is not UTF-8; the message has `source` and the line's number.
    """
    for number, line in enumerate(lines, 1):
        line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        yield decoded(line.removesuffix(b"\n"), f"{source}:{number}")


def composed(line: str) -> str:
    """Returns a line in Unicode's composed form (NFC), without a carriage return at its end."""
    return unicodedata.normalize("NFC", line.removesuffix("\r"))


def decoded(line: bytes, place: str) -> str:
    """Returns the text of one line. Raises InputError with the place where it is not UTF-8."""
    try:
        return composed(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{place}: not UTF-8 (byte 0x{line[error.start]:02x} at position {error.start + 1} of the line)"
        ) from error
