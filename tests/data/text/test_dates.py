"""The embedded set: what is held out is really held out, and can be learned from what is not."""

import datetime

import numpy as np
import pytest

from attnjax.data.text.config import TranslationData
from attnjax.data.text.date_formats import DateFormat, date_formats
from attnjax.data.text.dates import date_splits, held_out_pairs, learnable


@pytest.fixture(scope="module")
def data():
    return TranslationData(examples=20_000, evaluation_examples=1000)


@pytest.fixture(scope="module")
def splits(data):
    return date_splits(data)


def groups(examples):
    return {example.group for example in examples}


def targets(examples):
    return {example.target for example in examples}


def test_the_parts_have_the_sizes_asked_for(splits):
    assert {part: len(examples) for part, examples in splits.items()} == {
        "train": 20_000,
        "validation": 1000,
        "dates": 1000,
        "pairs": 1000,
    }


def test_held_out_dates_are_in_no_other_part(splits):
    held_out = targets(splits["dates"]) | targets(splits["pairs"])
    assert not held_out & targets(splits["train"])
    assert not held_out & targets(splits["validation"])
    assert not targets(splits["validation"]) & targets(splits["train"])


def test_held_out_pairs_are_in_no_other_part(splits):
    for part in ("train", "validation", "dates"):
        assert not groups(splits["pairs"]) & groups(splits[part])


def test_training_sees_every_other_pair(splits, data):
    everything = {f.group for locale in data.locales for f in date_formats(locale)}
    assert groups(splits["train"]) | groups(splits["pairs"]) == everything


def test_pairs_are_held_out_in_every_locale_and_many_formats(splits, data):
    held_out = [group.split("/") for group in groups(splits["pairs"])]
    assert {locale for locale, _ in held_out} == set(data.locales)
    assert len({name for _, name in held_out}) >= 6
    assert 0.12 < len(held_out) / (len(held_out) + len(groups(splits["train"]))) < 0.18


@pytest.mark.parametrize("seed", range(3))
def test_what_a_held_out_pair_needs_is_taught_by_training_pairs(data, seed):
    formats = [f for locale in data.locales for f in date_formats(locale)]
    held_out = held_out_pairs(formats, np.random.default_rng(seed))
    seen = [f for f in formats if f not in held_out]
    characters = set().union(*(f.characters for f in seen))
    for pair in held_out:
        own = [f for f in seen if f.locale == pair.locale]
        assert pair.characters <= characters
        if pair.tag:
            order = [kind for kind in pair.fields if kind != "weekday"]
            assert order in [[kind for kind in f.fields if kind != "weekday"] for f in own if f.tag]
        else:
            for month, name in enumerate(pair.fields["month"].texts):
                assert name in {f.fields["month"].texts[month] for f in own}, (pair.group, name)
            assert pair.parts not in [f.parts for f in seen]


def test_a_pair_whose_month_names_nobody_teaches_cannot_be_learned():
    formats = {f.name: f for f in date_formats("de")}
    full, long, medium = formats["full"], formats["long"], formats["yMMMd"]
    assert learnable(full, [long], list(formats.values()))
    assert not learnable(full, [medium], list(formats.values()))
    assert not learnable(formats["short"], [full, long], list(formats.values()))


def test_the_same_seed_gives_the_same_examples_and_another_seed_others(data, splits):
    assert date_splits(data) == splits
    other = date_splits(TranslationData(examples=20_000, evaluation_examples=1000, seed=1))
    assert other["train"] != splits["train"]
    assert groups(other["pairs"]) != groups(splits["pairs"])


def test_targets_are_iso_dates_of_the_hundred_years(splits):
    days = [datetime.date.fromisoformat(target) for target in targets(splits["train"])]
    assert min(days).year == 1950
    assert max(days).year == 2049


def test_a_text_with_two_meanings_is_refused(monkeypatch):
    monkeypatch.setattr(DateFormat, "tag", "")  # Without it 1/2/2003 is one day in en, another in en_GB.
    with pytest.raises(ValueError, match=r"'[\d/]+' is written by en\w*/\w+ and en\w*/\w+"):
        date_splits(TranslationData(locales=("en", "en_GB"), examples=20_000))
