"""Examples to padded arrays of token ids and back: two tokenizers and the widths that fix the shapes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from attnjax.config import InputError
from attnjax.data.config import TranslationData
from attnjax.data.example import Example
from attnjax.data.tokenizer import BOS, EOS, PAD, Tokenizer

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
    def fit(
        cls, splits: dict[str, list[Example]], data: TranslationData
    ) -> tuple["TextEncoder", dict[str, Arrays]]:
        """Trains the tokenizers on the "train" part and encodes every part, in widths that fit them all.

        Raises InputError, by file and line, for a text longer than `data.max_source_length` or
        `data.max_target_length` allows.
        """
        train = splits["train"]
        tags = [f"<{locale}>" for locale in data.locales] if data.train is None else []
        source = Tokenizer.train((e.source for e in train), data.tokenizer, data.vocab_size, tags=tags)
        target = Tokenizer.train((e.target for e in train), data.tokenizer, data.vocab_size)
        rows = {part: _rows(source, target, examples) for part, examples in splits.items()}
        widths = [0, 0]
        for part, sides in rows.items():
            for i, name in enumerate(("source", "target")):
                _require_fit(splits[part], sides[i], getattr(data, f"max_{name}_length"), name)
                widths[i] = max(widths[i], *map(len, sides[i]))
        encoder = cls(source, target, _rounded(widths[0]), _rounded(widths[1]))
        return encoder, {part: encoder._arrays(*sides) for part, sides in rows.items()}

    def arrays(self, examples: Sequence[Example]) -> Arrays:
        """The int32 arrays of the examples.

        They are "source" [n, S], "source_lengths" [n] and "target" [n, T] (BOS, tokens, EOS, padding).
        """
        return self._arrays(*_rows(self.source, self.target, examples))

    def _arrays(self, sources: Rows, targets: Rows) -> Arrays:
        lengths = np.array([len(row) for row in sources], np.int32)
        return {
            "source": _padded(sources, self.source_width),
            "source_lengths": lengths,
            "target": _padded(targets, self.target_width),
        }

    def sources(self, texts: Sequence[str]) -> Arrays:
        """The "source" and "source_lengths" of texts to translate; wider than S where a text needs it."""
        ids = self.source.encode(texts)
        lengths = np.array([len(row) for row in ids], np.int32)
        width = max(self.source_width, _rounded(lengths.max(initial=0)))
        return {"source": _padded(ids, width), "source_lengths": lengths}

    def save(self, folder: Path) -> None:
        """Writes both tokenizers and the widths into the folder."""
        self.source.save(folder / _SOURCE)
        self.target.save(folder / _TARGET)
        widths = {"source": self.source_width, "target": self.target_width}
        (folder / _WIDTHS).write_text(json.dumps(widths) + "\n", encoding="utf-8")

    @classmethod
    def saved_in(cls, folder: Path) -> bool:
        """Whether `save` completed in this folder: the widths are written last."""
        return (folder / _WIDTHS).is_file()

    @classmethod
    def load(cls, folder: Path) -> "TextEncoder":
        """Reads what `save` wrote. Raises InputError where a file is missing or malformed."""
        try:
            widths = json.loads((folder / _WIDTHS).read_text(encoding="utf-8"))
            sizes = int(widths["source"]), int(widths["target"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder / _WIDTHS}: not the widths of a trained run ({error})") from error
        return cls(Tokenizer.load(folder / _SOURCE), Tokenizer.load(folder / _TARGET), *sizes)


def _rows(source: Tokenizer, target: Tokenizer, examples: Sequence[Example]) -> tuple[Rows, Rows]:
    """The ids of both sides. Each distinct target is encoded once: dates repeat."""
    distinct = list(dict.fromkeys(example.target for example in examples))
    ids = dict(zip(distinct, target.encode(distinct), strict=True))
    targets = [[BOS, *ids[example.target], EOS] for example in examples]
    return source.encode([example.source for example in examples]), targets


def _require_fit(examples: Sequence[Example], rows: Rows, most: int, side: str) -> None:
    for example, row in zip(examples, rows, strict=True):
        if len(row) > most:
            raise InputError(
                f"{example.place or example.group}: the {side} text has {len(row)} tokens, "
                f"data.max_{side}_length is {most}: shorten the text or raise the limit"
            )


def _padded(rows: Rows, width: int) -> Int32[np.ndarray, "n width"]:
    array = np.full((len(rows), width), PAD, np.int32)
    for i, row in enumerate(rows):
        array[i, : len(row)] = row
    return array


def _rounded(width: int) -> int:
    return -(-int(width) // _MULTIPLE) * _MULTIPLE
