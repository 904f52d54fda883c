"""Examples to padded arrays of token ids and back: two tokenizers and the widths that fix the shapes."""

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from attnjax.config import InputError
from attnjax.data.text.example import Example
from attnjax.data.text.tokenizer import BOS, EOS, PAD, Tokenizer

_SOURCE, _TARGET, _WIDTHS = "source_tokenizer.json", "target_tokenizer.json", "widths.json"
_MULTIPLE = 4  # Widths are rounded up to it, so that texts a little longer still fit the compiled shape.


Arrays = dict[str, np.ndarray]
Rows = Sequence[Sequence[int]]


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
        cls, source: Tokenizer, target: Tokenizer, parts: Iterable[tuple[Rows, Rows]]
    ) -> "TextEncoder":
        """Returns the encoder whose arrays have room for the rows of all parts."""
        widths = [max(map(len, itertools.chain(*sides)), default=0) for sides in zip(*parts, strict=True)]
        return cls(source, target, *map(_rounded, widths))

    def arrays(self, examples: Sequence[Example]) -> Arrays:
        """Returns the int32 arrays of the examples.

        They are "source" [n, S], "source_lengths" [n] and "target" [n, T] (BOS, tokens, EOS, padding).
        """
        return self.padded(*encoded_rows(self.source, self.target, examples))

    def padded(self, sources: Rows, targets: Rows) -> Arrays:
        """Returns the `arrays` of examples that are ids already."""
        lengths = np.array([len(row) for row in sources], np.int32)
        return {
            "source": _padded(sources, self.source_width),
            "source_lengths": lengths,
            "target": _padded(targets, self.target_width),
        }

    def sources(self, texts: Sequence[str], *, most: int | None = None) -> Arrays:
        """Returns the "source" and "source_lengths" of texts to translate.

        Where a text is longer than S, they are 2·S, 4·S, … wide, which are few shapes, but at most `most`.
        """
        ids = self.source.encode(texts)
        lengths = np.array([len(row) for row in ids], np.int32)
        longest, width = int(lengths.max(initial=0)), self.source_width
        while width < longest:
            width *= 2
        if most is not None:
            width = max(longest, min(width, most))
        return {"source": _padded(ids, width), "source_lengths": lengths}

    def save(self, folder: Path) -> None:
        """Writes both tokenizers and the widths into the folder."""
        self.source.save(folder / _SOURCE)
        self.target.save(folder / _TARGET)
        widths = {"source": self.source_width, "target": self.target_width}
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
        return cls(Tokenizer.load(folder / _SOURCE), Tokenizer.load(folder / _TARGET), *sizes)


def encoded_rows(source: Tokenizer, target: Tokenizer, examples: Sequence[Example]) -> tuple[Rows, Rows]:
    """Returns the ids of both sides, the target's between BOS and EOS.

    Each distinct target is encoded once: dates repeat.
    """
    distinct = list(dict.fromkeys(example.target for example in examples))
    ids = dict(zip(distinct, target.encode(distinct), strict=True))
    targets = [[BOS, *ids[example.target], EOS] for example in examples]
    return source.encode([example.source for example in examples]), targets


def _padded(rows: Rows, width: int) -> Int32[np.ndarray, "n width"]:
    array = np.full((len(rows), width), PAD, np.int32)
    for i, row in enumerate(rows):
        array[i, : len(row)] = row
    return array


def _rounded(width: int) -> int:
    return -(-int(width) // _MULTIPLE) * _MULTIPLE
