"""Training corpora that are larger than memory: read twice as streams, and kept as files of token ids.

They lie in the user's cache, in a folder named by a hash of all that decides them: the settings, what the
files hold, the code of this package, the versions of the libraries. A folder appears whole or not at all.
"""

import dataclasses
import hashlib
import itertools
import json
import random
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from attnjax.config import InputError, require, user_cache
from attnjax.data.text.config import TranslationData
from attnjax.data.text.corpus import ROOM, Corpus, too_long, trained_tokenizers
from attnjax.data.text.encoder import TextEncoder, encoded_rows
from attnjax.data.text.example import Example
from attnjax.data.text.filters import FilterReport, PairFilters
from attnjax.data.text.kept import corpus_key, forget_others
from attnjax.data.text.parallel_text import read_parallel_text
from attnjax.data.text.rows import Rows
from attnjax.data.text.splits import NAMED, training_pairs, unusable
from attnjax.data.text.token_store import DiskStore, TokenWriter
from attnjax.data.text.tokenizer import Tokenizer

SAMPLE = 500_000
"""Pairs that tokenizers learn from, drawn evenly from all."""
PIECE = 20_000
"""Pairs that are encoded together."""
HELD_OUT = 10_000
"""Most pairs of a part that is held out, about: they are kept in memory."""
LINES = 100_000
"""Most lines that are left out of which it is said why; all are counted."""


def disk_corpus(data: TranslationData, encoder: TextEncoder | None = None) -> Corpus:
    """Returns the corpus of `data`, whose training pairs lie in files: those of an earlier call, or new ones.

    A part that is not given is held out by a hash of the source text: all its lines go together.

    Args:
      data: with a corpus of the user's.
      encoder: of an earlier start; None for a new one, whose tokenizers learn from a sample.

    Raises:
      InputError: as `read_corpus`.
    """
    folder = user_cache() / "on_disk" / corpus_key(data)
    if not (folder / "corpus.json").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as place:
            new = Path(place) / folder.name
            new.mkdir()
            _Builder(data, new, encoder).build()
            if not folder.exists():  # Another process may have been as quick.
                new.rename(folder)
        forget_others(folder)
    found = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
    (folder / "corpus.json").touch()  # It was used.
    parts = {part: [Example(*example) for example in examples] for part, examples in found["parts"].items()}
    report = FilterReport(found["read"], Counter(found["filtered"]), found["filtered_lines"])
    store = DiskStore(folder)
    sizes = {"train": len(store.corpora), **{part: len(own) for part, own in parts.items()}}
    encoder = encoder or TextEncoder.load(folder)
    return Corpus(parts, encoder, {}, found["left_out"], sizes, report, store)


class _Builder:
    """The making of a folder."""

    def __init__(self, data: TranslationData, folder: Path, encoder: TextEncoder | None) -> None:
        self._data, self._folder, self._encoder = data, folder, encoder
        self._seed = data.seed.to_bytes(8, "little")
        languages = data.source_language, data.target_language
        self._parts: dict[str, list[Example]] = {}
        self._left_out: list[str] = []
        self._unusable = self._lines = 0
        for part, (source, target) in data.given.items():
            self._parts[part], found = read_parallel_text(source, target, group=part, languages=languages)
            self._leave_out(found)
            self._lines += len(self._parts[part]) + len(found)
        self._missing = data.missing
        self._parts |= {part: [] for part in self._missing}
        self._firsts = PairFilters(data.filters)
        """Of the parts that are held out, which are small."""

    def build(self) -> None:
        """Writes all files; corpus.json comes last."""
        sample, count = self._sample()
        require(bool(sample), f"{self._data.train}: no line can be used")
        encoder = self._encoder
        tokenizers = (encoder.source, encoder.target) if encoder else trained_tokenizers(sample, self._data)
        del sample
        share = min(self._data.holdout, HELD_OUT / count)
        writer = TokenWriter(self._folder, (tokenizers[0].size, tokenizers[1].size))
        # Duplicates are found at the end, by keys that are 8 bytes each.
        filters = PairFilters(dataclasses.replace(self._data.filters, duplicates="keep"))
        self._firsts = PairFilters(self._data.filters)
        widths = np.zeros(2, np.int64)
        pairs = self._training(filters, share)
        names = {str(source): i for i, (source, _) in enumerate(self._data.corpora)} | {"train": 0}
        while piece := list(itertools.islice(pairs, PIECE)):
            fitting, sources, targets = self._encoded(piece, tokenizers, widths)
            corpora = np.array([names[example.group] for example in fitting], np.int16)
            writer.add(sources, targets, corpora, b"".join(map(self._key, fitting)))
        duplicates = self._data.filters.duplicates
        gone = writer.close(distinct=duplicates != "keep")
        for part, examples in self._parts.items():
            self._parts[part] = self._encoded(examples, tokenizers, widths, part)[0]
            few = (
                f"{self._data.train}: too few lines to hold out a {part} part; add lines, or give data.{part}"
            )
            require(bool(self._parts[part]), few)
        if self._unusable and not self._data.skip_malformed:
            advice = " (--data.skip_malformed leaves them out)"
            raise InputError(unusable(self._left_out, self._lines, self._unusable) + advice)
        filters.report.counts["duplicates"] += gone
        if self._unusable > len(self._left_out):
            self._left_out.append(f"and {self._unusable - len(self._left_out)} more")
        empty = Rows(np.empty(0, np.int32), widths[:1]), Rows(np.empty(0, np.int32), widths[1:])
        room = ROOM if self._data.regularised else 1.0
        encoder = encoder or TextEncoder.fitting(*tokenizers, [empty], room=room)
        encoder.save(self._folder)
        self._write(filters.report)

    def _write(self, report: FilterReport) -> None:
        record: dict[str, Any] = {
            "parts": self._parts,
            "left_out": self._left_out,
            "read": report.read,
            "filtered": +report.counts,
            "filtered_lines": report.lines,
        }
        (self._folder / "corpus.json").write_text(json.dumps(record), encoding="utf-8")

    def _sample(self) -> tuple[list[Example], int]:
        """Returns pairs that are drawn evenly, and the number of all of them."""
        rng, sample, count = random.Random(self._data.seed), list[Example](), 0
        filters = PairFilters(dataclasses.replace(self._data.filters, duplicates="keep"))
        for example in training_pairs(self._data, filters):
            self._lines += 1
            if isinstance(example, str):
                continue
            count += 1
            if len(sample) < SAMPLE:
                sample.append(example)
            elif (place := rng.randrange(count)) < SAMPLE:
                sample[place] = example
        return sample, count

    def _training(self, filters: PairFilters, share: float) -> Iterator[Example]:
        """Yields the pairs that are not held out."""
        for found in training_pairs(self._data, filters):
            if isinstance(found, str):
                self._leave_out([found])
                continue
            part = self._part(found, share)
            if part is None:
                yield found
            elif self._firsts.keep(found):
                group = found.group if self._data.more else part
                self._parts[part].append(found._replace(group=group))

    def _part(self, example: Example, share: float) -> str | None:
        """Returns the part for which a pair is held out, by its source."""
        if not self._missing:
            return None
        digest = hashlib.blake2b(example.source.encode(), digest_size=8, key=self._seed).digest()
        place = int.from_bytes(digest, "little") / 2**64 / share
        return self._missing[int(place)] if place < len(self._missing) else None

    def _key(self, example: Example) -> bytes:
        return bytes(8) if self._data.filters.duplicates == "keep" else self._firsts.key(example)

    def _encoded(
        self,
        examples: list[Example],
        tokenizers: tuple[Tokenizer, Tokenizer],
        widths: np.ndarray,
        part: str = "train",
    ) -> tuple[list[Example], Rows, Rows]:
        """Returns the examples that are short enough, and their ids; the widths grow with them."""
        sources, targets = encoded_rows(tokenizers[0], tokenizers[1], examples)
        long = (sources.lengths > self._data.max_source_length) | (
            targets.lengths > self._data.max_target_length
        )
        for i in np.flatnonzero(long).tolist():
            reason = too_long(int(sources.lengths[i]), int(targets.lengths[i]), data=self._data)
            self._leave_out([f"{examples[i].place or part}: {reason}"])
        fitting = np.flatnonzero(~long)
        sources, targets = sources.chosen(fitting), targets.chosen(fitting)
        for i, rows in enumerate((sources, targets)):
            widths[i] = max(widths[i], rows.lengths.max(initial=0))
        return [examples[i] for i in fitting.tolist()], sources, targets

    def _leave_out(self, lines: Iterable[str]) -> None:
        most = LINES if self._data.skip_malformed else NAMED
        for line in lines:
            self._unusable += 1
            if len(self._left_out) < most:
                self._left_out.append(line)
