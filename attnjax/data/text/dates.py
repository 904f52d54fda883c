"""The embedded translation set: dates as CLDR writes them in many locales, to ISO dates (yyyy-mm-dd).

A locale tag precedes the date where the month is a bare number ("<en_GB> 1/2/03" and "<en> 1/2/03" differ).
Years run from 1950 to 2049, so a year of two digits is never ambiguous. Two things are held out: dates, which
training sees in no format at all, and locale×format pairs, which training sees with no date at all.
"""

import datetime
from collections import Counter
from collections.abc import Sequence

import numpy as np

from attnjax.data.text.config import TranslationData
from attnjax.data.text.date_formats import FIRST_YEAR, LAST_YEAR, DateFormat, date_formats, places
from attnjax.data.text.example import Example

HELD_OUT_DATES = 0.05
"""Share of all dates in each of the validation and the test part."""
HELD_OUT_PAIRS = 0.15
"""Share of a locale's formats that training never sees (at least one where the locale has one to spare)."""


def date_splits(data: TranslationData) -> dict[str, list[Example]]:
    """Returns the embedded examples: "train", "validation", and the test parts "dates" and "pairs".

    "validation" and "dates" hold dates that no other part shares, in formats that training sees. "pairs"
    holds dates of the test part in locale×format pairs that training never sees. Examples of all parts are
    drawn evenly over the pairs. The same `data` always gives the same examples.
    """
    formats = [format for locale in data.locales for format in date_formats(locale)]
    rng = np.random.default_rng([data.seed, 0])
    held_out = held_out_pairs(formats, rng)
    seen = [format for format in formats if format not in held_out]
    validation, test, train = _split_dates(rng)
    splits = {
        "train": _draw(seen, train, data.examples, rng),
        "validation": _draw(seen, validation, data.evaluation_examples, rng),
        "dates": _draw(seen, test, data.evaluation_examples, rng),
        "pairs": _draw(held_out, test, data.evaluation_examples, rng) if held_out else [],
    }
    _require_one_meaning(splits)
    return splits


def held_out_pairs(formats: Sequence[DateFormat], rng: np.random.Generator) -> list[DateFormat]:
    """Returns the formats that training never sees, such that what they need can be learned elsewhere.

    A format is held out only while the locale's other formats still write each of its month names, or, where
    the month is a bare number, still show the order of day and month; and while every character of it occurs
    in some training format. Its weekday names, its layout and the combination are new. A format that another
    locale writes letter for letter alike is never held out: it would not be new.
    """
    writers = Counter(f.parts for f in formats if not f.tag)
    left = {locale: [f for f in formats if f.locale == locale] for locale in {f.locale for f in formats}}
    wanted = {locale: max(1, round(HELD_OUT_PAIRS * len(own))) for locale, own in left.items()}
    held_out = []
    for index in rng.permutation(len(formats)):
        candidate = formats[index]
        others = [f for f in left[candidate.locale] if f is not candidate]
        everywhere = [f for own in left.values() for f in own if f is not candidate]
        new = writers[candidate.parts] <= 1
        if new and wanted[candidate.locale] and learnable(candidate, others, everywhere):
            left[candidate.locale] = others
            wanted[candidate.locale] -= 1
            held_out.append(candidate)
    return sorted(held_out, key=formats.index)


def learnable(
    format: DateFormat, same_locale: Sequence[DateFormat], all_locales: Sequence[DateFormat]
) -> bool:
    """Returns whether other formats teach the month names, the field order and the characters of this one."""
    if format.tag:
        order = [kind for kind in format.fields if kind != "weekday"]
        taught = any(order == [kind for kind in f.fields if kind != "weekday"] for f in same_locale if f.tag)
    else:
        seen = [f.fields["month"].texts for f in same_locale if not f.tag]
        taught = all(
            any(name == texts[month] for texts in seen)
            for month, name in enumerate(format.fields["month"].texts)
        )
    return taught and format.characters <= frozenset().union(*(f.characters for f in all_locales))


def _split_dates(rng: np.random.Generator) -> tuple[list[datetime.date], ...]:
    """Returns all dates in random order, cut into validation, test and training dates."""
    first = datetime.date(FIRST_YEAR, 1, 1).toordinal()
    last = datetime.date(LAST_YEAR, 12, 31).toordinal()
    ordinals = rng.permutation(np.arange(first, last + 1))
    count = round(HELD_OUT_DATES * len(ordinals))
    parts = np.split(ordinals, [count, 2 * count])
    return tuple([datetime.date.fromordinal(day) for day in part.tolist()] for part in parts)


def _draw(
    formats: Sequence[DateFormat], dates: Sequence[datetime.date], count: int, rng: np.random.Generator
) -> list[Example]:
    """Returns `count` (format, date) pairs, each with its own chance."""
    drawn = rng.integers((len(formats), len(dates)), size=(count, 2))
    of_format, of_date = drawn.T
    found = {kind: values[of_date] for kind, values in places(dates).items()}
    # All that one format writes is written at once.
    order = np.argsort(of_format, kind="stable")
    starts = np.searchsorted(of_format[order], np.arange(len(formats) + 1))
    sources = np.empty(count, object)
    for format, start, end in zip(formats, starts, starts[1:], strict=False):
        own = order[start:end]
        sources[own] = format.texts({kind: values[own] for kind, values in found.items()})
    targets, groups = [date.isoformat() for date in dates], [format.group for format in formats]
    return [
        Example(source, targets[j], groups[i])
        for source, i, j in zip(sources.tolist(), of_format.tolist(), of_date.tolist(), strict=True)
    ]


def _require_one_meaning(splits: dict[str, list[Example]]) -> None:
    """Refuses a set in which one source text has two targets, which no model can get right."""
    meaning: dict[str, Example] = {}
    for examples in splits.values():
        for example in examples:
            known = meaning.setdefault(example.source, example)
            if known.target != example.target:
                raise ValueError(f"{example.source!r} is written by {known.group} and {example.group}")
