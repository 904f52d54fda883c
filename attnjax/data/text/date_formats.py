"""CLDR's date formats of a locale (through Babel), each as a table-driven writer that is fast to call often.

A format's text is a sequence of literals and fields (year, month, day, weekday), and each field depends on
one number only. So Babel writes every field once into a table, and a date is written by look-ups.

CLDR's names of territories come from here too: it is the only file that touches Babel.
"""

import datetime
import functools
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from babel import Locale, UnknownLocaleError
from babel.dates import format_date, tokenize_pattern
from babel.localedata import locale_identifiers
from jaxtyping import Int

from attnjax.config import InputError

FIRST_YEAR, LAST_YEAR = 1950, 2049
"""One hundred years, so that a year of two digits means one year: 50-99 is 19yy, 00-49 is 20yy."""

_FIELDS = {"y": "year", "M": "month", "L": "month", "d": "day", "E": "weekday", "c": "weekday"}
# Characters that nobody types: spaces that do not break become plain ones, direction marks go.
_PLAIN = str.maketrans({"\u202f": " ", "\u00a0": " ", "\u200e": None, "\u200f": None, "\u061c": None})
_ZERO = {"arab": "\u0660", "arabext": "\u06f0", "beng": "\u09e6", "deva": "\u0966", "mymr": "\u1040"}


# The place of a date's value among the texts of a field.
_PLACES = {
    "year": lambda date: date.year - FIRST_YEAR,
    "month": lambda date: date.month - 1,
    "day": lambda date: date.day - 1,
    "weekday": lambda date: date.weekday(),
}


def places(dates: Sequence[datetime.date]) -> dict[str, Int[np.ndarray, " n"]]:
    """Returns the place of each date's value among the texts of a field, by the field's kind."""
    return {kind: np.array([place(date) for date in dates], np.intp) for kind, place in _PLACES.items()}


@dataclass(frozen=True)
class Field:
    """One field of a format, and the text of each of its values, from the least value on."""

    kind: str
    texts: tuple[str, ...]

    def __call__(self, date: datetime.date) -> str:
        """Returns the field of a date."""
        return self.texts[_PLACES[self.kind](date)]

    @functools.cached_property
    def table(self) -> np.ndarray:
        """The texts as an array."""
        return np.array(self.texts)


@dataclass(frozen=True)
class DateFormat:
    """A CLDR date format of one locale.

    >>> spanish = {format.name: format for format in date_formats("es")}
    >>> spanish["long"](datetime.date(2003, 2, 1))
    '1 de febrero de 2003'
    >>> spanish["short"](datetime.date(2003, 2, 1))
    '<es> 1/2/03'
    """

    locale: str
    name: str
    parts: tuple[str | Field, ...]

    @property
    def group(self) -> str:
        """The locale and the name of the format."""
        return f"{self.locale}/{self.name}"

    @functools.cached_property
    def fields(self) -> dict[str, Field]:
        """The fields by kind, in the order in which they are written."""
        return {part.kind: part for part in self.parts if isinstance(part, Field)}

    @functools.cached_property
    def tag(self) -> str:
        """The locale tag before the date where the month is a bare number ("<es>"), else empty."""
        text = "".join(part for part in self.parts if isinstance(part, str))
        named = any(character.isalpha() for character in "".join(self.fields["month"].texts))
        return "" if named or "月" in text else f"<{self.locale}>"

    @functools.cached_property
    def characters(self) -> frozenset[str]:
        """Every character that the format can write."""
        return frozenset(
            "".join(part if isinstance(part, str) else "".join(part.texts) for part in self.parts)
        )

    def __call__(self, date: datetime.date) -> str:
        """Returns a date in this format."""
        text = "".join(part if isinstance(part, str) else part(date) for part in self.parts)
        return f"{self.tag} {text}" if self.tag else text

    def spans(self, date: datetime.date) -> dict[str, range]:
        """Returns the places of each field's characters in the text of a date, by the field's kind.

        >>> spanish = {format.name: format for format in date_formats("es")}
        >>> spanish["long"].spans(datetime.date(2003, 2, 1))
        {'day': range(0, 1), 'month': range(5, 12), 'year': range(16, 20)}
        """
        found, start = {}, len(self.tag) + 1 if self.tag else 0
        for part in self.parts:
            text = part if isinstance(part, str) else part(date)
            if isinstance(part, Field):
                found[part.kind] = range(start, start + len(text))
            start += len(text)
        return found

    def texts(self, places: Mapping[str, Int[np.ndarray, " n"]]) -> np.ndarray:
        """Returns many dates in this format, as an array of texts; they come as `places` has them."""
        written: list[Any] = [f"{self.tag} "] if self.tag else []
        written += [part if isinstance(part, str) else part.table[places[part.kind]] for part in self.parts]
        texts: np.ndarray = functools.reduce(np.strings.add, written)
        return texts


def date_formats(locale: str) -> list[DateFormat]:
    """Returns the Gregorian formats of a CLDR locale that hold year, month and day, without duplicates.

    They are CLDR's full, long, medium and short formats and its skeletons (yMMMd, yMEd, ...). Formats that
    write every date alike count once, under the first name. Digits are the locale's own. Raises InputError
    for a locale that CLDR does not know.
    """
    try:
        known = Locale.parse(locale)
    except (UnknownLocaleError, ValueError) as error:
        raise InputError(
            f"data.locales has {locale!r}: CLDR has no such locale (examples: en_GB, ja)"
        ) from error
    patterns = {name: known.date_formats[name].pattern for name in ("full", "long", "medium", "short")}
    patterns |= {name: pattern.pattern for name, pattern in sorted(known.datetime_skeletons.items())}
    formats: dict[tuple[str | Field, ...], DateFormat] = {}
    for name, pattern in patterns.items():
        tokens = tokenize_pattern(pattern)
        kinds = {_FIELDS.get(value[0], "other") for kind, value in tokens if kind == "field"}
        if kinds - {"weekday"} == {"year", "month", "day"}:
            parts = _parts(tokens, known)
            formats.setdefault(parts, DateFormat(locale, name, parts))
    return list(formats.values())


def territory_names() -> Iterator[tuple[str, str]]:
    """Yields the names of territories in all of CLDR's languages, each with the English one."""
    english = Locale("en").territories
    for identifier in locale_identifiers():
        for code, name in Locale.parse(identifier).territories.items():
            if code in english:
                yield name, english[code]


def _parts(tokens: list[tuple[str, Any]], locale: Locale) -> tuple[str | Field, ...]:
    """Literals (neighbours joined) and filled fields of a tokenized pattern."""
    parts: list[str | Field] = []
    for kind, value in tokens:
        if kind == "field":
            letter, width = value
            parts.append(_field(letter, width, locale))
        elif parts and isinstance(parts[-1], str):
            parts[-1] += _plain(value)
        else:
            parts.append(_plain(value))
    return tuple(parts)


@functools.cache  # Formats of a locale share most of their fields.
def _field(letter: str, width: int, locale: Locale) -> Field:
    kind = _FIELDS[letter]
    dates = {
        "year": (datetime.date(year, 1, 1) for year in range(FIRST_YEAR, LAST_YEAR + 1)),
        "month": (datetime.date(2001, month, 1) for month in range(1, 13)),
        "day": (datetime.date(2001, 1, day) for day in range(1, 32)),
        "weekday": (datetime.date(2001, 1, day) for day in range(1, 8)),  # 1 January 2001 was a Monday.
    }[kind]
    texts = (_plain(format_date(date, letter * width, locale)) for date in dates)
    if kind == "weekday":
        return Field(kind, tuple(texts))
    zero = _ZERO.get(locale.default_numbering_system, "0")
    digits = {ord("0") + i: chr(ord(zero) + i) for i in range(10)}
    return Field(kind, tuple(text.translate(digits) for text in texts))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text.translate(_PLAIN))
