"""PairFilters of training pairs: what goes, what stays, and what the report says of it."""

import dataclasses
import json
import re

import pytest

from attnjax.config import InputError
from attnjax.data.text.config import TranslationData
from attnjax.data.text.corpus import read_corpus
from attnjax.data.text.example import Example
from attnjax.data.text.filter_config import FilterConfig
from attnjax.data.text.filters import PairFilters


@pytest.mark.parametrize(
    ("config", "stays", "goes", "reason"),
    [
        ({"min_length": 2}, ("a b", "c d"), ("a b", "c"), "a side has 1 words"),
        ({"max_length": 2}, ("a b", "c d"), ("a", "c d e"), "a side has 3 words"),
        ({"max_length": 3, "unit": "characters"}, ("abc", "d"), ("a", "bcde"), "a side has 4 characters"),
        ({"max_ratio": 1.5}, ("a b c", "d e"), ("a b", "c d e f"), "4 to 2 words"),
        ({"max_word": 4}, ("abcd", "e"), ("a", "bcdef"), "a word of 5 characters"),
        ({"min_letters": 0.5}, ("ab 12", "हि"), ("ab", "c12"), "0.33 of a side are letters"),
        ({"same_numbers": True}, ("1 of 23", "23 von 1"), ("in 2003", "2004"), "[2003] here, [2004] there"),
        ({"copies": False}, ("a", "b"), ("a", "a"), "both sides are the same"),
    ],
)
def test_a_filter_takes_what_fails_it_and_says_why(config, stays, goes, reason):
    filters = PairFilters(FilterConfig(**config))
    assert filters.keep(Example(*stays, place="f:1"))
    assert not filters.keep(Example(*goes, place="f:2"))
    name = next(iter(config))
    assert filters.report.lines == [f"f:2: {name}: {reason}"]
    assert str(filters.report) == f"1 of 2 pairs: 1 by {name}"


@pytest.mark.parametrize(
    ("duplicates", "kept"),
    [("keep", "aabbc"), ("pairs", "abbc"), ("sources", "abc"), ("targets", "ab")],
)
def test_of_duplicates_the_first_stays(duplicates, kept):
    pairs = [("a", "x"), ("a", "x"), ("b", "x"), ("b", "y"), ("c", "y")]
    filters = PairFilters(FilterConfig(duplicates=duplicates))
    found = [one for one, other in pairs if filters.keep(Example(one, other))]
    assert "".join(found) == kept


def test_a_pair_that_failed_is_no_first_one():
    filters = PairFilters(FilterConfig(max_length=1, duplicates="sources"))
    assert [filters.keep(Example("a", target)) for target in ("b c", "b", "c")] == [False, True, False]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"unit": "bytes"}, "filters.unit is 'bytes': expected one of words, characters"),
        ({"max_ratio": 0.5}, "filters.max_ratio is 0.5: expected 1 or more"),
        ({"min_letters": 2}, "filters.min_letters is 2: expected a share, 0 to 1"),
        ({"duplicates": "all"}, "filters.duplicates is 'all'"),
    ],
)
def test_bad_settings_are_named(config, message):
    with pytest.raises(InputError, match=re.escape(message)):
        FilterConfig(**config)


@pytest.fixture
def data(tmp_path):
    lines = [f"{i}\t{i} {'x' * (i % 4)}" for i in range(40)] + ["0\t0"] * 2
    (tmp_path / "a.tsv").write_text("\n".join(lines))
    test = tmp_path / "test.tsv"
    test.write_text("1\t1\n1\t1\n")
    filters = FilterConfig(max_word=2, duplicates="pairs")
    return TranslationData(train=tmp_path / "a.tsv", test=test, holdout=0.1, filters=filters)


def test_the_report_of_a_run_has_all_that_went(data, tmp_path):
    corpus = read_corpus(data)
    assert sum(corpus.sizes.values()) == 32  # Ten words of three letters and two pairs that came before.
    assert corpus.sizes["test"] == 2  # Nobody filters a file for tests.
    said = "12 of 42 pairs: 10 by max_word, 2 by duplicates"
    assert corpus.notes[1] == f"left out by data.filters (filtered.txt has all): {said}"
    corpus.save(tmp_path)
    assert json.loads((tmp_path / "filtered.json").read_text()) == {
        "read": 42,
        "left_out": {"max_word": 10, "duplicates": 2},
    }
    lines = (tmp_path / "filtered.txt").read_text().splitlines()
    assert len(lines) == 12
    assert lines[0] == f"{data.train}:4: max_word: a word of 3 characters"
    assert json.loads((tmp_path / "data.json").read_text())["filtered"] == {"max_word": 10, "duplicates": 2}


def test_filters_that_leave_nothing_are_refused(data):
    none = dataclasses.replace(data, filters=FilterConfig(min_length=9))
    with pytest.raises(InputError, match=r"a.tsv: data.filters leave none of its pairs: out went 42 of 42"):
        read_corpus(none)
