"""Given alignments: which source tokens each target token is of, for a loss that guides attention.

Those of the embedded dates are exact: every field of a format has its place. Those of a user's corpus come as
lines of word pairs as fast_align and eflomal write them ("0-0 1-2": Pharaoh's format).
"""

import datetime
import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from attnjax.config import InputError, require
from attnjax.data.text.config import TranslationData
from attnjax.data.text.date_formats import DateFormat, date_formats
from attnjax.data.text.encoder import TextEncoder
from attnjax.data.text.example import Example

Spans = list[tuple[range, range]]
"""Characters of the source, and those of the target that they belong to."""
ISO_FIELDS = {"year": range(4), "month": range(5, 7), "day": range(8, 10)}
"""The places of the fields of an ISO date."""


class Alignments:
    """The alignments of examples, as arrays.

    Args:
      data: the texts.
      examples: those that come from `data.train`.
      encoder: of the texts.

    Raises:
      InputError: `data.alignment` cannot be read, or has fewer lines than the corpus; or a line of it is
        malformed or names a word that there is not.
    """

    def __init__(self, data: TranslationData, examples: Sequence[Example], encoder: TextEncoder) -> None:
        self._encoder, self._pairs = encoder, None
        if data.train is not None and data.alignment is not None:
            self._pairs = _read_pairs(data.alignment, data.train, examples)

    def __call__(self, examples: Sequence[Example]) -> Float[np.ndarray, "n T S"]:
        """Returns the share that each source token has in each target token, without marks.

        A row sums to 1, or is 0 where nothing is known of the token.
        """
        encoder = self._encoder
        shares = np.zeros((len(examples), encoder.target_width - 1, encoder.source_width), np.float32)
        for own, example in zip(shares, examples, strict=True):
            sources, targets = encoder.source.spans(example.source), encoder.target.spans(example.target)
            for read, written in self._spans(example):
                own[np.ix_(_within(targets, written), _within(sources, read))] = 1
        return shares / np.maximum(shares.sum(-1, keepdims=True), 1)

    def _spans(self, example: Example) -> Spans:
        if self._pairs is None:
            return date_spans(example)
        pairs = self._pairs.get(example.place, ())
        sources, targets = _words(example.source), _words(example.target)
        return [(sources[i], targets[j]) for i, j in pairs]


def date_spans(example: Example) -> Spans:
    """Returns the fields of an embedded date and the digits that they become.

    Example:
      >>> date_spans(Example("1 de febrero de 2003", "2003-02-01", "es/long"))
      [(range(16, 20), range(0, 4)), (range(5, 12), range(5, 7)), (range(0, 1), range(8, 10))]
    """
    locale = example.group.partition("/")[0]
    spans = _formats(locale)[example.group].spans(datetime.date.fromisoformat(example.target))
    return [(spans[field], written) for field, written in ISO_FIELDS.items()]


@functools.cache
def _formats(locale: str) -> Mapping[str, DateFormat]:
    return {format.group: format for format in date_formats(locale)}


def _within(tokens: Sequence[range], characters: range) -> list[int]:
    """Returns the places of the tokens that have one of the characters."""
    return [
        i
        for i, token in enumerate(tokens)
        if max(token.start, characters.start) < min(token.stop, characters.stop)
    ]


def _words(text: str) -> list[range]:
    return [range(*word.span()) for word in re.finditer(r"\S+", text)]


def _read_pairs(path: Path, train: Path, examples: Iterable[Example]) -> dict[str, list[tuple[int, int]]]:
    """Returns the pairs of each example by its place. Raises InputError as `Alignments` does."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"data.alignment is {str(path)!r}: it cannot be read ({error})") from error
    found = {}
    numbered = [(int(example.place.rpartition(":")[2]), example) for example in examples]
    for number, example in sorted(numbered, key=lambda pair: pair[0]):
        require(
            number <= len(lines),
            f"{path}: no line {number}, expected one for each line of {train} ({len(lines)} came)",
        )
        pairs = list(_pairs(lines[number - 1], f"{path}:{number}"))
        for side, (text, most) in enumerate(
            (text, len(text.split())) for text in (example.source, example.target)
        ):
            highest = max((pair[side] for pair in pairs), default=-1)
            require(highest < most, f"{path}:{number}: no word {highest}, counted from 0, in {text[:40]!r}")
        found[example.place] = pairs
    return found


def _pairs(line: str, place: str) -> Iterator[tuple[int, int]]:
    for text in line.split():
        pair = re.fullmatch(r"(\d+)-(\d+)", text)
        require(pair is not None, f"{place}: {text[:20]!r} is no pair of words, expected as 0-1 1-0 (i-j)")
        assert pair is not None
        yield int(pair[1]), int(pair[2])
