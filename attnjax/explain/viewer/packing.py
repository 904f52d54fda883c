"""Maps as pieces of text: small pictures of all heads, and tiles of each, unpacked on demand."""

import base64
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt

from attnjax.explain.viewer.coding import Coding, pooled
from attnjax.explain.viewer.contents import AttentionMap

THUMBNAIL = 64
"""Pixels of a side of a head's small picture, at most."""
TILE = 512
"""Tokens of a side of a tile. Longer maps have an overview of at most that size."""
BUDGET = 32 * 2**20
"""Characters of the tiles of maps that are longer than a tile, for a page."""

Place = tuple[int, int]
"""The character at which a piece begins, and their number."""


class Pieces:
    """Arrays of codes, deflated and written one after the other as base64."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self.size = 0

    def add(self, text: str) -> Place:
        """Appends a piece, and returns where it stands."""
        place = self.size, len(text)
        self._texts.append(text)
        self.size += len(text)
        return place

    def text(self) -> str:
        """Returns all pieces."""
        return "".join(self._texts)


def piece(codes: UInt[np.ndarray, "..."]) -> str:
    """Returns the codes row by row, deflated, as base64; of 16 bits, the upper bytes come first."""
    flat = np.ascontiguousarray(codes).reshape(-1)
    planes = [flat] if flat.dtype == np.uint8 else [flat >> 8, flat & 255]
    data = b"".join(plane.astype(np.uint8).tobytes() for plane in planes)
    return base64.b64encode(zlib.compress(data, 6)).decode()


class Waiting(NamedTuple):
    """A head of a long map that has tiles if the budget allows.

    Attributes:
      sharpness: the mean over rows of the largest weight; sharper heads come first.
      weights: of the head.
      code: of its map.
      record: gets the places of the tiles.
    """

    sharpness: float
    weights: Float[np.ndarray, "T S"]
    code: Coding
    record: dict[str, Any]


class Packer:
    """Packs maps for a page.

    Args:
      budget: of characters for the tiles of long maps.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self.thumbnails, self.pieces = Pieces(), Pieces()
        self._left, self._waiting = budget, list[Waiting]()

    def add(self, shown: AttentionMap) -> dict[str, Any]:
        """Returns what the page has to know of a map besides its tokens, whose pieces are added."""
        weights = with_summaries(np.asarray(shown.weights, np.float32))
        code, longest = Coding.of(weights), max(weights.shape[1:])
        factor, coarse = -(-longest // THUMBNAIL), -(-longest // TILE)
        names = [str(head) for head in shown.heads or range(len(shown.weights))]
        heads = [{"name": name, **facts(head)} for name, head in zip(summarised(names), weights, strict=True)]
        numbers = re.findall(r"\d+", shown.name)
        record = {
            "name": shown.name,
            "group": re.sub(r"\.?\d+", "", shown.name).strip(".") or shown.name,
            "layer": ".".join(numbers) or shown.name,
            "shape": list(weights.shape[1:]),
            "scale": code.scale,
            "bits": code.bits,
            "signed": code.signed,
            "error": code.largest_error,
            "factor": factor,
            "thumbnails": self.thumbnails.add(piece(code.encode(pooled(weights, factor)))),
            "coarse": coarse,
            "heads": heads,
            "notes": dict(shown.notes),
            "firstWritten": shown.first_written,
            "edges": None if shown.edges is None else np.asarray(shown.edges).tolist(),
            "places": None if shown.places is None else np.round(shown.places, 4).tolist(),
        }
        for head, known in zip(weights, heads, strict=True) if factor > 1 else ():
            if coarse == 1:
                known["tiles"] = [self.pieces.add(piece(code.encode(head)))]
            else:
                known["overview"] = self.pieces.add(piece(code.encode(pooled(head, coarse))))
                sharpness = float(np.abs(head).max(axis=1).mean())
                self._waiting.append(Waiting(sharpness, head, code, known))
        return record

    def finish(self) -> tuple[str, str]:
        """Adds tiles of the sharpest heads of long maps as far as the budget goes.

        Returns:
          The small pictures, and all other pieces.
        """
        for head in sorted(self._waiting, key=lambda head: -head.sharpness):
            texts = [piece(head.code.encode(tile)) for tile in tiles(head.weights)]
            size = sum(map(len, texts))
            if size > self._left:
                break
            self._left -= size
            head.record["tiles"] = [self.pieces.add(text) for text in texts]
        return self.thumbnails.text(), self.pieces.text()


def tiles(weights: Float[np.ndarray, "T S"]) -> Iterator[Float[np.ndarray, "t s"]]:
    """Yields squares of `TILE` tokens, row by row; those at the end are smaller."""
    for top in range(0, weights.shape[0], TILE):
        for left in range(0, weights.shape[1], TILE):
            yield weights[top : top + TILE, left : left + TILE]


def with_summaries(weights: Float[np.ndarray, "H T S"]) -> Float[np.ndarray, "h T S"]:
    """Returns the heads, and after them their mean and their maximum where there are several."""
    if len(weights) == 1:
        return weights
    return np.concatenate([weights, weights.mean(axis=0, keepdims=True), weights.max(axis=0, keepdims=True)])


def summarised(names: Sequence[str]) -> list[str]:
    """Returns the names of the heads that `with_summaries` returns."""
    return [*names, "mean", "max"] if len(names) > 1 else list(names)


def facts(weights: Float[np.ndarray, "T S"]) -> dict[str, float]:
    """Returns what the page says of a head.

    "peak" is its largest size of a weight, "rest" that of all columns but the first. Of weights that are not
    negative come the mean "entropy" of rows in bits and the share of the first column, its "sink".
    """
    sizes = np.abs(weights)
    found = {"peak": float(sizes.max()), "rest": float(sizes[:, 1:].max(initial=0.0))}
    if weights.min() >= 0:
        sums = weights.sum(axis=1, keepdims=True)
        shares = weights / np.where(sums > 0, sums, 1.0)
        logs = np.log2(shares, where=shares > 0, out=np.zeros_like(shares))
        found |= {"entropy": float(-(shares * logs).sum(axis=1).mean()), "sink": float(shares[:, 0].mean())}
    return {name: _four_digits(value) for name, value in found.items()}


def _four_digits(value: float) -> float:
    return round(value, 4 - math.ceil(math.log10(abs(value)))) if value else 0.0
