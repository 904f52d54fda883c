"""The table-driven date formats against Babel itself."""

import datetime

import numpy as np
import pytest
from babel import Locale
from babel.dates import format_date

from attnjax.config import InputError
from attnjax.data.text.config import DATE_LOCALES
from attnjax.data.text.date_formats import date_formats, places

LATIN_DIGITS = [locale for locale in DATE_LOCALES if locale != "fa"]
INVISIBLE = str.maketrans({"\u202f": " ", "\u00a0": " ", "\u200e": None, "\u200f": None})


@pytest.fixture(scope="module")
def formats():
    return {locale: date_formats(locale) for locale in DATE_LOCALES}


@pytest.mark.parametrize("locale", LATIN_DIGITS)
def test_every_format_writes_what_babel_writes(formats, locale):
    patterns = Locale.parse(locale).datetime_skeletons
    days = np.random.default_rng(0).integers(711858, 748382, 40).tolist()
    for format in formats[locale]:
        pattern = patterns[format.name].pattern if format.name in patterns else format.name
        for date in map(datetime.date.fromordinal, days):
            written = format_date(date, pattern, locale).translate(INVISIBLE)
            assert format(date).removeprefix(f"{format.tag} ") == written


def test_many_dates_are_written_as_each_alone(formats):
    days = [datetime.date(1950, 1, 1), datetime.date(2003, 12, 31), datetime.date(2049, 5, 8)]
    for format in (format for own in formats.values() for format in own):
        assert format.texts(places(days)).tolist() == [format(day) for day in days]


def test_digits_are_the_locales_own(formats):
    written = {format.name: format(datetime.date(2003, 2, 1)) for format in formats["fa"]}
    assert written["short"] == "<fa> ۲۰۰۳/۲/۱"


def test_no_two_formats_of_a_locale_write_alike(formats):
    days = [datetime.date(1999, 12, 31), datetime.date(2003, 2, 1), datetime.date(2010, 11, 12)]
    for own in formats.values():
        texts = [tuple(format(day) for day in days) for format in own]
        assert len(set(texts)) == len(texts)


def test_only_a_month_written_as_a_bare_number_gets_the_tag(formats):
    date = datetime.date(2003, 2, 1)
    written = {format.group: format(date) for own in formats.values() for format in own}
    assert written["en/short"] == "<en> 2/1/03"
    assert written["en_GB/short"] == "<en_GB> 01/02/2003"
    assert written["de/long"] == "1. Februar 2003"
    assert written["ja/long"] == "2003年2月1日"
    assert written["ja/yMd"] == "<ja> 2003/2/1"
    assert written["vi/long"] == "1 tháng 2, 2003"


def test_one_text_never_means_two_dates(formats):
    # Twelve years: each number can be taken for a day, a month or a year of two digits.
    days = [
        datetime.date(y, m, d) for y in (*range(2001, 2013), 1951) for m in range(1, 13) for d in range(1, 29)
    ]
    meaning: dict[str, datetime.date] = {}
    for own in formats.values():
        for format in own:
            for day in days:
                assert meaning.setdefault(format(day), day) == day, format.group


def test_without_tags_one_text_would_mean_two_dates(formats):
    by_group = {format.group: format for own in formats.values() for format in own}
    american, british = by_group["en/yMd"], by_group["en_GB/short"]
    first = american(datetime.date(2003, 11, 12)).removeprefix("<en> ")
    assert first == british(datetime.date(2003, 12, 11)).removeprefix("<en_GB> ") == "11/12/2003"


def test_an_unknown_locale_is_refused():
    with pytest.raises(InputError, match=r"data.locales has 'xx_YY'"):
        date_formats("xx_YY")
