"""The data of a translation task, ready to train on: its parts, their encoder, and lines left out."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from attnjax.config import InputError
from attnjax.data.text.buckets import TokenStore
from attnjax.data.text.config import TranslationData
from attnjax.data.text.encoder import Arrays, TextEncoder, encoded_rows
from attnjax.data.text.example import Example
from attnjax.data.text.filters import FilterReport, PairFilters
from attnjax.data.text.rows import Rows
from attnjax.data.text.splits import translation_splits, unusable
from attnjax.data.text.token_store import MemoryStore
from attnjax.data.text.tokenizer import Tokenizer

ROOM = 1.5
"""The greatest length of arrays, by that of texts, where training cuts these into more pieces."""


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
    filtered: FilterReport = field(default_factory=FilterReport)
    """The pairs that filters left out."""
    store: TokenStore | None = None
    """The ids of the "train" part, where batches are drawn by lengths or corpora."""

    @property
    def record(self) -> dict[str, Any]:
        """Sizes, as JSON holds them."""
        return {
            "pairs": self.sizes,
            "left_out": len(self.left_out),
            "filtered": dict(self.filtered.counts),
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
        if self.filtered.lines:
            notes.append(f"left out by data.filters (filtered.txt has all): {self.filtered}")
        return notes

    def save(self, folder: Path) -> None:
        """Writes data.json and, where lines were left out, left_out.txt with all of them."""
        (folder / "data.json").write_text(json.dumps(self.record, indent=2) + "\n", encoding="utf-8")
        if self.left_out:
            lines = "".join(f"{line}\n" for line in self.left_out)
            (folder / "left_out.txt").write_text(lines, encoding="utf-8")
        if self.filtered.lines:
            self.filtered.save(folder)


def read_corpus(data: TranslationData, encoder: TextEncoder | None = None) -> Corpus:
    """Returns the examples of `data`, read or generated, and encoded: by a new encoder where none is given.

    A new one knows the tokens of the "train" part, and its widths fit all parts.

    Raises:
      InputError: lines that are malformed, or longer than `data.max_source_length` or
        `data.max_target_length` (all are counted, the first ones named), unless `data.skip_malformed` leaves
        them out and every part keeps some; and as `translation_splits` does.
    """
    filters = PairFilters(data.filters)
    parts, malformed = translation_splits(data, filters)
    corpus = encoded_corpus(parts, data, encoder, malformed)
    return dataclasses.replace(corpus, filtered=filters.report)


def encoded_corpus(
    parts: dict[str, list[Example]],
    data: TranslationData,
    encoder: TextEncoder | None = None,
    malformed: Sequence[str] = (),
    tokenizers: tuple[Tokenizer, Tokenizer] | None = None,
) -> Corpus:
    """Returns what `read_corpus` does, of parts that are at hand and lines that were left out of them.

    A new encoder has the tokenizers that are given, or else those that learn from the "train" part.
    """
    if encoder is not None:
        tokenizers = encoder.source, encoder.target
    tokenizers = tokenizers or trained_tokenizers(parts["train"], data)
    left_out = list(malformed)
    kept: dict[str, list[Example]] = {}
    rows: dict[str, tuple[Rows, Rows]] = {}
    for part, examples in parts.items():
        sources, targets = encoded_rows(*tokenizers, examples)
        long = (sources.lengths > data.max_source_length) | (targets.lengths > data.max_target_length)
        for i in np.flatnonzero(long).tolist():
            reason = too_long(int(sources.lengths[i]), int(targets.lengths[i]), data=data)
            left_out.append(f"{examples[i].place or part}: {reason}")
        fitting = np.flatnonzero(~long)
        kept[part] = [examples[i] for i in fitting.tolist()]
        rows[part] = sources.chosen(fitting), targets.chosen(fitting)
    lost = [part for part, examples in parts.items() if examples and not kept[part]]
    if left_out and (lost or not data.skip_malformed):
        total = len(malformed) + sum(map(len, parts.values()))
        advice = f"; nothing is left of {lost[0]}" if lost else " (--data.skip_malformed leaves them out)"
        raise InputError(unusable(left_out, total) + advice)
    encoder = encoder or TextEncoder.fitting(
        *tokenizers, rows.values(), room=ROOM if data.regularised else 1.0
    )
    sizes = {part: len(examples) for part, examples in kept.items()}
    arrays = encoder.padded(*rows["train"])
    store = MemoryStore(arrays, _corpora(kept["train"], data)) if data.by_length else None
    return Corpus(kept, encoder, arrays, left_out, sizes, store=store)


def _corpora(train: Sequence[Example], data: TranslationData) -> list[int]:
    """Returns the number of each example's corpus."""
    names = {str(source): i for i, (source, _) in enumerate(data.corpora)}
    return [names.get(example.group, 0) for example in train]


def trained_tokenizers(train: Sequence[Example], data: TranslationData) -> tuple[Tokenizer, Tokenizer]:
    """Returns tokenizers of both sides that learned from these examples."""
    dates = [f"<{locale}>" for locale in data.locales]
    tags = list(dict.fromkeys(data.tags)) if data.corpora else dates
    if data.share_vocabulary:
        texts = (text for example in train for text in (example.source, example.target))
        shared = Tokenizer.train(texts, data.tokenizer, data.vocab_size, tags=tags)
        return shared, shared
    source = Tokenizer.train((e.source for e in train), data.tokenizer, data.vocab_size, tags=tags)
    return source, Tokenizer.train((e.target for e in train), data.tokenizer, data.vocab_size)


def too_long(source: int, target: int, *, data: TranslationData) -> str:
    """Returns the reason why an example of so many tokens is too long."""
    side, tokens, most = "source", source, data.max_source_length
    if tokens <= most:
        side, tokens, most = "target", target, data.max_target_length
    return f"the {side} text has {tokens} tokens, data.max_{side}_length is {most}"
