"""Examples to padded arrays of token ids and back: two tokenizers and the widths that fix the shapes."""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attnjax.config import InputError, require
from attnjax.data.text.example import Example
from attnjax.data.text.rows import Rows
from attnjax.data.text.tokenizer import BOS, EOS, PAD, Tokenizer

_SOURCE, _TARGET, _WIDTHS = "source_tokenizer.json", "target_tokenizer.json", "widths.json"
_MULTIPLE = 4  # Widths are rounded up to it, so that texts a little longer still fit the compiled shape.
LEAST_WIDTH = 32
"""Of texts to translate: below it a narrower array saves less than its program costs."""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class TextEncoder:
    """The tokenizers of both sides and the widths S and T of their arrays.

    T counts the marks around a target: BOS, its tokens, EOS.
    """

    source: Tokenizer
    target: Tokenizer
    source_width: int
    target_width: int

    @classmethod
    def fitting(
        cls,
        source: Tokenizer,
        target: Tokenizer,
        parts: Iterable[tuple[Rows, Rows]],
        *,
        room: float = 1.0,
    ) -> "TextEncoder":
        """Returns the encoder whose arrays have room for the rows of all parts, and `room` times as much."""
        widths = [
            max(int(rows.lengths.max(initial=0)) for rows in sides) for sides in zip(*parts, strict=True)
        ]
        return cls(source, target, *(_rounded(math.ceil(room * width)) for width in widths))

    def arrays(self, examples: Sequence[Example]) -> Arrays:
        """Returns the int32 arrays of the examples.

        They are "source" [n, S], "source_lengths" [n] and "target" [n, T] (BOS, tokens, EOS, padding).
        """
        return self.padded(*encoded_rows(self.source, self.target, examples))

    def padded(self, sources: Rows, targets: Rows) -> Arrays:
        """Returns the `arrays` of examples that are ids already."""
        return {
            "source": sources.padded(self.source_width, PAD),
            "source_lengths": sources.lengths,
            "target": targets.padded(self.target_width, PAD),
        }

    def sources(self, texts: Sequence[str], *, most: int | None = None) -> Arrays:
        """Returns the "source" and "source_lengths" of texts to translate.

        Where a text is longer than S, they are 2·S, 4·S, … wide, which are few shapes, but at most `most`;
        where all are short, S / 2, S / 4, …, but at least `LEAST_WIDTH`.
        """
        rows = self.source.rows(texts)
        width = self._width(int(rows.lengths.max(initial=0)), most)
        return {"source": rows.padded(width, PAD), "source_lengths": rows.lengths}

    def by_width(self, texts: Sequence[str], *, most: int | None = None) -> list[list[int]]:
        """Returns the places of texts, those together whose `sources` are as wide alone, the shortest first.

        What is computed together takes as long as the longest of it.
        """
        lengths, places = self.source.rows(texts).lengths, dict[int, list[int]]()
        for place in np.argsort(lengths, kind="stable").tolist():
            places.setdefault(self._width(int(lengths[place]), most), []).append(place)
        return list(places.values())

    def _width(self, longest: int, most: int | None) -> int:
        """Returns the width of `sources` of which the longest has so many tokens."""
        width = self.source_width
        while width < longest:
            width *= 2
        while (half := _rounded(math.ceil(width / 2))) >= max(longest, LEAST_WIDTH):
            width = half
        return width if most is None else max(longest, min(width, most))

    def require_same_tokens(self, other: "TextEncoder", name: str) -> None:
        """Raises InputError where another run's tokens are not these."""
        for side in ("source", "target"):
            own, its = getattr(self, side), getattr(other, side)
            alike = own.size == its.size and own.names(range(own.size)) == its.names(range(its.size))
            require(alike, f"{name} has other {side} tokens: an ensemble needs the same")

    def save(self, folder: Path) -> None:
        """Writes both tokenizers and the widths into the folder."""
        self.source.save(folder / _SOURCE)
        self.target.save(folder / _TARGET)
        widths: dict[str, Any] = {"source": self.source_width, "target": self.target_width}
        widths["tokenizers"] = {name: _hash(folder / name) for name in (_SOURCE, _TARGET)}
        (folder / _WIDTHS).write_text(json.dumps(widths) + "\n", encoding="utf-8")

    @classmethod
    def saved_in(cls, folder: Path) -> bool:
        """Returns whether `save` completed in this folder: the widths are written last."""
        return (folder / _WIDTHS).is_file()

    @classmethod
    def load(cls, folder: Path) -> "TextEncoder":
        """Returns the encoder that `save` wrote. Raises InputError where a file is missing or malformed."""
        try:
            widths = json.loads((folder / _WIDTHS).read_text(encoding="utf-8"))
            sizes = int(widths["source"]), int(widths["target"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder / _WIDTHS}: not the widths of a trained run ({error})") from error
        for name, known in widths.get("tokenizers", {}).items():  # Older runs have none.
            path = folder / name
            require(
                not path.is_file() or _hash(path) == known,
                f"{path}: another tokenizer than the run was trained with: its tokens do not fit the model",
            )
        return cls(Tokenizer.load(folder / _SOURCE), Tokenizer.load(folder / _TARGET), *sizes)


def encoded_rows(source: Tokenizer, target: Tokenizer, examples: Sequence[Example]) -> tuple[Rows, Rows]:
    """Returns the ids of both sides, the target's between BOS and EOS.

    Each distinct target is encoded once: dates repeat.
    """
    distinct = {text: i for i, text in enumerate(dict.fromkeys(example.target for example in examples))}
    numbers = np.array([distinct[example.target] for example in examples], np.intp)
    targets = target.rows(list(distinct)).between(BOS, EOS).chosen(numbers)
    return source.rows([example.source for example in examples]), targets


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _rounded(width: int) -> int:
    return -(-int(width) // _MULTIPLE) * _MULTIPLE
