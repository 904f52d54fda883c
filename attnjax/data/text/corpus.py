"""The data of a translation task, ready to train on: its parts, their encoder, and lines left out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attnjax.config import InputError
from attnjax.data.text.config import TranslationData
from attnjax.data.text.encoder import Arrays, TextEncoder, encoded_rows
from attnjax.data.text.example import Example
from attnjax.data.text.rows import Rows
from attnjax.data.text.splits import translation_splits, unusable
from attnjax.data.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Corpus:
    """Examples by part, the encoder of their texts, and the arrays of the "train" part."""

    parts: dict[str, list[Example]]
    """Those of the "train" part may be left out: its arrays have what they hold."""
    encoder: TextEncoder
    train: Arrays
    left_out: list[str]
    """"file:line: why" for every line that is malformed or too long."""
    sizes: dict[str, int]
    """The number of examples of each part."""

    @property
    def record(self) -> dict[str, Any]:
        """Sizes, as JSON holds them."""
        return {
            "pairs": self.sizes,
            "left_out": len(self.left_out),
            "vocabulary": {"source": self.encoder.source.size, "target": self.encoder.target.size},
        }

    @property
    def notes(self) -> list[str]:
        """Lines for the user before training begins: the sizes of what was read, and what was left out."""
        sizes = ", ".join(f"{size} {part}" for part, size in self.sizes.items())
        vocabulary = f"{self.encoder.source.size} source and {self.encoder.target.size} target tokens"
        pairs = sum(self.sizes.values())
        notes = [f"{pairs} pairs: {sizes}; a vocabulary of {vocabulary}"]
        if self.left_out:
            lines = unusable(self.left_out, pairs + len(self.left_out))
            notes.append(f"left out, as data.skip_malformed says: {lines}")
        return notes

    def save(self, folder: Path) -> None:
        """Writes data.json and, where lines were left out, left_out.txt with all of them."""
        (folder / "data.json").write_text(json.dumps(self.record, indent=2) + "\n", encoding="utf-8")
        if self.left_out:
            lines = "".join(f"{line}\n" for line in self.left_out)
            (folder / "left_out.txt").write_text(lines, encoding="utf-8")


def read_corpus(data: TranslationData, encoder: TextEncoder | None = None) -> Corpus:
    """Returns the examples of `data`, read or generated, and encoded: by a new encoder where none is given.

    A new one knows the tokens of the "train" part, and its widths fit all parts.

    Raises:
      InputError: lines that are malformed, or longer than `data.max_source_length` or
        `data.max_target_length` (all are counted, the first ones named), unless `data.skip_malformed` leaves
        them out and every part keeps some; and as `translation_splits` does.
    """
    parts, malformed = translation_splits(data)
    return encoded_corpus(parts, data, encoder, malformed)


def encoded_corpus(
    parts: dict[str, list[Example]],
    data: TranslationData,
    encoder: TextEncoder | None = None,
    malformed: Sequence[str] = (),
) -> Corpus:
    """Returns what `read_corpus` does, of parts that are at hand and lines that were left out of them."""
    tokenizers = (encoder.source, encoder.target) if encoder else _trained(parts["train"], data)
    left_out = list(malformed)
    kept: dict[str, list[Example]] = {}
    rows: dict[str, tuple[Rows, Rows]] = {}
    for part, examples in parts.items():
        sources, targets = encoded_rows(*tokenizers, examples)
        long = (sources.lengths > data.max_source_length) | (targets.lengths > data.max_target_length)
        for i in np.flatnonzero(long).tolist():
            reason = _too_long(int(sources.lengths[i]), int(targets.lengths[i]), data=data)
            left_out.append(f"{examples[i].place or part}: {reason}")
        fitting = np.flatnonzero(~long)
        kept[part] = [examples[i] for i in fitting.tolist()]
        rows[part] = sources.chosen(fitting), targets.chosen(fitting)
    lost = [part for part, examples in parts.items() if examples and not kept[part]]
    if left_out and (lost or not data.skip_malformed):
        total = len(malformed) + sum(map(len, parts.values()))
        advice = f"; nothing is left of {lost[0]}" if lost else " (--data.skip_malformed leaves them out)"
        raise InputError(unusable(left_out, total) + advice)
    encoder = encoder or TextEncoder.fitting(*tokenizers, rows.values())
    sizes = {part: len(examples) for part, examples in kept.items()}
    return Corpus(kept, encoder, encoder.padded(*rows["train"]), left_out, sizes)


def _trained(train: Sequence[Example], data: TranslationData) -> tuple[Tokenizer, Tokenizer]:
    tags = [f"<{locale}>" for locale in data.locales] if data.train is None else []
    if data.share_vocabulary:
        texts = (text for example in train for text in (example.source, example.target))
        shared = Tokenizer.train(texts, data.tokenizer, data.vocab_size, tags=tags)
        return shared, shared
    source = Tokenizer.train((e.source for e in train), data.tokenizer, data.vocab_size, tags=tags)
    return source, Tokenizer.train((e.target for e in train), data.tokenizer, data.vocab_size)


def _too_long(source: int, target: int, *, data: TranslationData) -> str:
    """Returns the reason why an example of so many tokens is too long."""
    side, tokens, most = "source", source, data.max_source_length
    if tokens <= most:
        side, tokens, most = "target", target, data.max_target_length
    return f"the {side} text has {tokens} tokens, data.max_{side}_length is {most}"
