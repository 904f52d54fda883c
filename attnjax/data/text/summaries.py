"""Texts with summaries, encoded: docstrings of modules, or a file of one's own. Errors name file and row."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from attnjax.config import InputError
from attnjax.data.synthetic.library_bytes import PYTHON
from attnjax.data.text.columns import read_columns
from attnjax.data.text.corpus import Corpus, encoded_corpus
from attnjax.data.text.docstrings import docstring_parts
from attnjax.data.text.encoder import TextEncoder
from attnjax.data.text.example import Example
from attnjax.data.text.labelled_files import refuse
from attnjax.data.text.splits import hold_out, unusable
from attnjax.data.text.summaries_config import SummaryData
from attnjax.data.text.tokenizer import Tokenizer
from attnjax.data.text.words import beginning, spaced

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class SummaryCorpus(Corpus):
    """A corpus of texts with summaries: what else is known of how it came to be.

    Attributes:
      origin: of the texts, in words.
      counts: of docstrings, and of those that are no examples, by the reason.
      cut: texts of which the beginning alone is read.
      units: what is held out as a whole, by part.
    """

    origin: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    cut: int = 0
    units: Mapping[str, int] = field(default_factory=dict)

    @property
    def record(self) -> dict[str, Any]:
        """Sizes and counts, as JSON holds them."""
        return {
            **super().record,
            "texts_of": self.origin,
            "docstrings": dict(self.counts),
            "cut": self.cut,
            "units": dict(self.units),
        }

    @property
    def notes(self) -> list[str]:
        """Lines for the user before training begins."""
        units = ", ".join(f"{count} in {part}" for part, count in self.units.items())
        notes = [f"{self.origin}; held out as a whole: {units}", *super().notes]
        if others := Counter({why: n for why, n in self.counts.items() if why != "docstrings"}):
            reasons = "; ".join(f"{count}: {why}" for why, count in others.most_common())
            notes.append(f"{self.counts['docstrings']} docstrings, of which are no examples: {reasons}")
        if self.cut:
            notes.append(f"of {self.cut} texts the first data.max_source_length tokens are read")
        return notes


def summary_corpus(data: SummaryData, encoder: TextEncoder | None = None) -> SummaryCorpus:
    """Returns the texts and summaries of `data`, encoded: by a new encoder where none is given.

    Raises:
      InputError: rows that cannot be used, or summaries that are longer than `data.max_target_length` (all
        are counted, the first ten named), unless `data.skip_malformed` leaves them out; a file that cannot be
        read; a group in two parts; a part without texts.
    """
    if data.train is None:
        parts, counts = docstring_parts(data.modules)
        malformed: list[str] = []
        origin = f"docstrings of {data.modules or f'the standard library of Python {PYTHON}'}"
    else:
        (parts, malformed), counts, origin = _own_parts(data), Counter[str](), str(data.train)
    if encoder is None:
        texts = (text for example in parts["train"] for text in (example.source, example.target))
        tokenizer = Tokenizer.train(texts, data.tokenizer, data.vocab_size)
    else:
        tokenizer = encoder.source
    units = {part: len({example.group or example.source for example in own}) for part, own in parts.items()}
    cut = 0
    for part, examples in parts.items():
        read = [beginning(example.source, tokenizer, data.max_source_length) for example in examples]
        cut += sum(text != example.source for text, example in zip(read, examples, strict=True))
        parts[part] = [e._replace(source=text) for text, e in zip(read, examples, strict=True)]
    found = encoded_corpus(parts, data.pairs, encoder, malformed, (tokenizer, tokenizer))
    return SummaryCorpus(**vars(found), origin=origin, counts=counts, cut=cut, units=units)


def _own_parts(data: SummaryData) -> tuple[dict[str, list[Example]], list[str]]:
    """Returns the parts of a user's files, and "file:row: why" of rows that cannot be used."""
    columns = {"text": data.text_column, "summary": data.summary_column}
    if data.group_column is not None:
        columns["group"] = data.group_column
    parts: dict[str, list[Example]] = {}
    malformed: list[str] = []
    for part in PARTS:
        file: Path | None = getattr(data, part)
        if file is None:
            continue
        parts[part] = []
        for row in read_columns(file, columns):
            found = row if isinstance(row, str) else _example(*row.values, place=row.place)
            parts[part].append(found) if isinstance(found, Example) else malformed.append(found)
        if not parts[part]:
            raise InputError(unusable(malformed, len(malformed)))
    if data.group_column is not None:
        _refuse_shared(parts)
    rng = np.random.default_rng([data.seed, 23])
    for part in PARTS:
        if part not in parts:
            by: Any = "source" if data.group_column is None else "group"
            parts[part], parts["train"] = hold_out(parts["train"], data.holdout, rng, by=by)
    # Where groups are held out, a text may stand in two of them.
    held_out = {example.source for part in PARTS[1:] for example in parts[part]}
    parts["train"] = [example for example in parts["train"] if example.source not in held_out]
    if not parts["train"]:
        more = f"; {unusable(malformed, sum(map(len, parts.values())) + len(malformed))}" if malformed else ""
        raise InputError(
            f"{data.train}: nothing is left to train on: expected more texts, or more groups of them{more}"
        )
    return {part: parts[part] for part in PARTS}, malformed


def _example(text: str, summary: str, group: str = "", *, place: str) -> Example | str:
    source, target = spaced(text), spaced(summary)
    for what, own in (("text", source), ("summary", target)):
        if not any(map(str.isalnum, own)):
            return f"{place}: the {what} has no word"
    return Example(source, target, group, place)


def _refuse_shared(parts: Mapping[str, Sequence[Example]]) -> None:
    """Raises InputError for groups of training that are in a given held-out file too."""
    trained = {example.group for example in parts["train"]}
    refuse(
        [
            f"{example.place}: the group {example.group!r} of data.{part} is in data.train too"
            for part in PARTS[1:]
            for example in {e.group: e for e in reversed(parts.get(part, ()))}.values()
            if example.group in trained
        ]
    )
