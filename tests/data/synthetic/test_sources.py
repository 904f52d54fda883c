"""The further sources, each against its definition read token by token in plain Python; what is held out."""

import datetime
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.synthetic.config import SOURCES, DateBytesData, LibraryBytesData, SourceData
from attnjax.data.synthetic.date_bytes import UNSEEN, DateBytes
from attnjax.data.synthetic.library_bytes import LibraryBytes, modules
from attnjax.data.synthetic.questions import AS_TRAINED, NOT_ASKED, TWICE, Sequences, Split, stream
from attnjax.data.synthetic.sources import make_source
from attnjax.data.text.date_formats import date_formats

Asked = dict[int, str]
"""The words that the definition asks for, by place."""


def induction(words: list[str]) -> Asked:
    first = words.index(">")
    assert words.count(">") == 2
    assert words[-1] == ">"
    assert all(re.fullmatch("[a-p]", word) for word in words if word != ">")
    return {len(words) - 1: words[first + 1]}


def selective_copying(words: list[str]) -> Asked:
    letters = [word for word in words if word not in "·?"]
    marks = [i for i, word in enumerate(words) if word == "?"]
    assert marks == list(range(len(words) - len(letters), len(words)))
    return dict(zip(marks, letters, strict=True))


def listops(words: list[str]) -> Asked:
    """A stack machine."""
    stack: list[Any] = []
    found = {}
    for place, word in enumerate(words):
        if word == "·":
            assert len(stack) == 1
            assert set(words[place:]) == {"·"}
            break
        if word != "]":
            stack.append(int(word) if word.isdecimal() else word)
            continue
        arguments = []
        while not isinstance(stack[-1], str):
            arguments.append(stack.pop())
        assert 2 <= len(arguments) <= 5
        middle = sorted(arguments)[(len(arguments) - 1) // 2 : len(arguments) // 2 + 1]
        value = {
            "[MIN": min(arguments),
            "[MAX": max(arguments),
            "[MED": math.floor(sum(middle) / len(middle)),
            "[SM": sum(arguments) % 10,
        }[stack.pop()]
        stack.append(value)
        found[place] = str(value)
    assert [str(value) for value in stack] == [found[max(found)]]
    return found


def group(things: int) -> Callable[[list[str]], Asked]:
    """Moves a row of things as the cycles say, one element after another."""

    def moved(place: int, element: str) -> int:
        for cycle in re.findall(r"\((\d+)\)", element):
            if str(place) in cycle:
                return int(cycle[(cycle.index(str(place)) + 1) % len(cycle)])
        return place

    def asked(words: list[str]) -> Asked:
        found = {}
        places = {thing: thing for thing in range(1, things + 1)}
        for t, word in enumerate(words):
            places = {thing: moved(place, word) for thing, place in places.items()}
            left, cycles = set(places), ""
            while left:
                cycle = [min(left)]
                while places[cycle[-1]] != cycle[0]:
                    cycle.append(places[cycle[-1]])
                left -= set(cycle)
                cycles += f"({''.join(map(str, cycle))})" if len(cycle) > 1 else ""
            found[t] = cycles or "e"
        return found

    return asked


DEFINITIONS: dict[str, Callable[[list[str]], Asked]] = {
    "induction": induction,
    "selective_copying": selective_copying,
    "listops": listops,
    "parity": group(2),
    "s3": group(3),
    "s5": group(5),
}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_what_is_asked_is_what_the_definition_says(name: str) -> None:
    source = make_source(SourceData(name, length=18))
    for setting in source.settings:
        made = source.rows(30, np.random.default_rng(0), setting)
        for tokens, answers in zip(made["tokens"].tolist(), made["answers"].tolist(), strict=True):
            expected = DEFINITIONS[name]([source.word(token) for token in tokens])
            assert {t: source.word(x) for t, x in enumerate(answers) if x != NOT_ASKED} == expected
            assert not expected or max(tokens) < source.vocab


def test_lengths_are_those_of_the_settings() -> None:
    for name, expected in {
        "induction": [20, 30, 40, 80],
        "selective_copying": [20, 29, 37, 71],
        "listops": [20, 30, 40, 80],
        "text": [20, 30, 40, 80],
    }.items():
        source = make_source(SourceData(name, length=20))
        made = [source.rows(2, np.random.default_rng(0), s)["tokens"].shape[1] for s in source.settings]
        assert made == expected, name
    lengths = make_source(SourceData("listops", length=20)).rows(600, np.random.default_rng(0))["tokens"]
    assert {np.flatnonzero(row != 15)[-1] + 1 for row in lengths} == set(range(4, 21))


def test_text_is_that_of_modules_which_no_other_part_has() -> None:
    source = LibraryBytes(LibraryBytesData(length=40))
    names = [set(modules(part)) for part in Split]
    assert all(len(own) > 10 for own in names)
    assert sum(map(len, names)) == len(set.union(*names))
    for part in Split:
        texts = list(modules(part).values())
        for setting in source.settings:
            made = source.rows(2, np.random.default_rng(1), setting, part)
            for tokens, answers in zip(made["tokens"], made["answers"], strict=True):
                stretch = bytes([*tokens.tolist(), int(answers[-1])])
                assert bytes(answers.tolist()) == stretch[1:]
                assert any(stretch in text for text in texts)


def test_every_stretch_of_a_part_is_as_likely(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"a": b"abc", "b": b"01234", "short": b"x"}
    monkeypatch.setattr("attnjax.data.synthetic.library_bytes.modules", lambda part: texts)
    made = LibraryBytes(LibraryBytesData(length=2)).rows(4000, np.random.default_rng(0))
    found = [
        bytes([*t, a[-1]]) for t, a in zip(made["tokens"].tolist(), made["answers"].tolist(), strict=True)
    ]
    shares = {stretch: found.count(stretch) / 4000 for stretch in found}
    assert shares == pytest.approx({s: 0.25 for s in (b"abc", b"012", b"123", b"234")}, abs=0.03)


def test_dates_are_asked_for_in_iso_form_and_parts_share_none() -> None:
    source = DateBytes(DateBytesData(examples=2000, evaluation_examples=300))
    formats = [f for locale in source.config.locales for f in date_formats(locale)]
    dates, writers = {}, {}
    for name, setting, part in (
        ("train", AS_TRAINED, Split.TRAIN),
        ("validation", AS_TRAINED, Split.VALIDATION),
        ("test", TWICE, Split.TEST),
        ("unseen", UNSEEN, Split.TEST),
    ):
        made = source.rows(60, np.random.default_rng(0), setting, part)
        lines = []
        for tokens, answers in zip(made["tokens"].tolist(), made["answers"].tolist(), strict=True):
            text = bytes(tokens).rstrip(b"\0")
            lines += text.decode().splitlines()
            # By the definition: after a "|" and nine bytes more the next byte is asked.
            expected = [NOT_ASKED] * len(tokens)
            for mark in (i for i, byte in enumerate(text) if byte == ord("|")):
                expected[mark : mark + 10] = text[mark + 1 : mark + 11]
            assert answers == expected
        pairs = [line.split("|") for line in lines]
        dates[name] = {iso for _, iso in pairs}
        writers[name] = set()
        for written, iso in pairs:
            matching = {f.group for f in formats if f(datetime.date.fromisoformat(iso)) == written}
            assert matching
            writers[name] |= matching if len(matching) == 1 else set()
    seen = [dates[name] for name in ("train", "validation")]
    assert sum(map(len, seen)) == len(set.union(*seen))
    assert not (dates["test"] | dates["unseen"]) & set.union(*seen)
    assert not writers["unseen"] & writers["train"]


@pytest.mark.parametrize("name", SOURCES)
def test_rows_follow_from_seed_and_step_and_parts_differ(name: str) -> None:
    def tokens(source: Sequences, part: Split, step: int = 0) -> bytes:
        return source.rows(8, stream(source.config.seed, part, step), AS_TRAINED, part)["tokens"].tobytes()

    source = make_source(SourceData(name))
    wheres = [(Split.TRAIN, 0), (Split.TRAIN, 7), (Split.VALIDATION, 0), (Split.TEST, 0)]
    found = [tokens(source, *where) for where in wheres]
    assert found == [tokens(make_source(SourceData(name)), *where) for where in wheres]
    assert len({*found, tokens(make_source(SourceData(name, seed=1)), Split.TRAIN)}) == 5
    assert all(len(source.word(token).split()) == 1 for token in range(source.vocab))
    assert len({source.word(token) for token in range(source.vocab)}) == source.vocab


def test_dates_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match=r"^data\.length is 20: the longest line of data\.locales has 4\d"):
        DateBytes(DateBytesData(length=20, examples=500))
