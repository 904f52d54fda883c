"""Reads the data frames of an R package (Rdata.rdb, Rdata.rdx) without R.

The format is R's serialisation, versions 2 and 3, big endian ("R Internals", section 1.8). What data frames
of numbers and texts are made of is read, and anything else is an error that names its type.
"""

import bz2
import gzip
import lzma
import struct
import zlib
from pathlib import Path
from typing import Any

MISSING_INTEGER = -(2**31)
_PAIRS, _CHARS, _LOGICALS, _INTEGERS, _REALS, _TEXTS, _LIST = 2, 9, 10, 13, 14, 16, 19
_SYMBOL, _SEEN, _NOTHING, _ALTERNATIVE = 1, 255, 254, 238


class RList(list[Any]):
    """A vector of R with its attributes."""

    def __init__(self, values: list[Any], attributes: dict[str, Any]) -> None:
        super().__init__(values)
        self.attributes = attributes


def r_frame(folder: Path, name: str) -> dict[str, list[Any]]:
    """Returns the columns of a data frame: numbers, texts, and None for what is missing.

    Args:
      folder: with Rdata.rdx, the index, and Rdata.rdb.
      name: of the data frame.
    """
    index = _Reader(gzip.decompress((folder / "Rdata.rdx").read_bytes())).item()
    variables = index[index.attributes["names"].index("variables")]
    start, length = variables[variables.attributes["names"].index(name)]
    packed = (folder / "Rdata.rdb").read_bytes()[start : start + length]
    frame = _Reader(_unpacked(packed)).item()
    return dict(zip(frame.attributes["names"], map(_column, frame), strict=True))


def _unpacked(packed: bytes) -> bytes:
    """Returns what R compressed: after its length comes zlib's header, or a letter for the method."""
    kind = packed[4:5]
    if kind == b"Z":
        # Raw LZMA2 with the filter of R's preset; R writes no header.
        filters = [{"id": lzma.FILTER_LZMA2, "preset": 6}]
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters).decompress(packed[5:])
    return bz2.decompress(packed[5:]) if kind == b"2" else zlib.decompress(packed[4:])


def _column(column: RList) -> list[Any]:
    if (levels := column.attributes.get("levels")) is not None:
        return [None if code is None else levels[code - 1] for code in column]
    return list(column)


class _Reader:
    def __init__(self, data: bytes) -> None:
        if data[:2] != b"X\n":
            raise ValueError(f"serialised data begins with {data[:2]!r}: expected b'X\\n', R's XDR format")
        self.data, self.at, self.seen = data, 2, [""]
        version = self.integers(3)[0]
        if version == 3:
            (length,) = self.integers(1)  # Of the name of the encoding.
            self.at += length

    def integers(self, count: int) -> list[int]:
        return self._unpacked("i", 4, count)

    def _unpacked(self, kind: str, size: int, count: int) -> list[Any]:
        found = struct.unpack_from(f">{count}{kind}", self.data, self.at)
        self.at += size * count
        return list(found)

    def item(self) -> Any:
        flags = self.integers(1)[0] & 0xFFFFFFFF
        kind, has_attributes = flags & 255, bool(flags & 512)
        if kind == _NOTHING:
            return None
        if kind == _SYMBOL:
            self.seen.append(self.item())
            return self.seen[-1]
        if kind == _SEEN:
            return self.seen[(flags >> 8) or self.integers(1)[0]]
        if kind == _PAIRS:
            return self._pairs(flags)
        if kind == _ALTERNATIVE:
            return self._alternative()
        count = self.integers(1)[0]
        if kind == _CHARS:
            if count < 0:
                return None
            self.at += count
            return self.data[self.at - count : self.at].decode("utf-8", "replace")
        values: list[Any]
        if kind in (_LOGICALS, _INTEGERS):
            values = [None if value == MISSING_INTEGER else value for value in self.integers(count)]
        elif kind == _REALS:
            # NaN is the one number that is not itself; R's NA is one.
            values = [value if value == value else None for value in self._unpacked("d", 8, count)]
        elif kind in (_TEXTS, _LIST):
            values = [self.item() for _ in range(count)]
        else:
            raise ValueError(f"R's type {kind} at byte {self.at}: no part of a data frame")
        return RList(values, self.item() or {} if has_attributes else {})

    def _pairs(self, flags: int) -> dict[str, Any]:
        """Returns a list of pairs with tags, such as attributes."""
        found: dict[str, Any] = {}
        while flags & 255 == _PAIRS:
            if flags & 512:
                self.item()
            tag = self.item() if flags & 1024 else str(len(found))
            found[tag] = self.item()
            flags = self.integers(1)[0] & 0xFFFFFFFF
        return found

    def _alternative(self) -> Any:
        """Returns a compact sequence of integers or a wrapped vector (ALTREP)."""
        info, state, _ = self.item(), self.item(), self.item()
        name = next(iter(info.values()))
        if name == "compact_intseq":
            count, first, step = map(int, state)
            return RList([first + step * i for i in range(count)], {})
        if name.startswith("wrap_"):
            return state[0] if isinstance(state, list) else next(iter(state.values()))
        raise ValueError(f"R's compact form {name!r}: no part of a data frame")
