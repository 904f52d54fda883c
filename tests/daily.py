"""Which of many cases run every day; the others are marked slow, and scripts/test.sh --slow runs them."""

import itertools
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any

import pytest


def daily(cases: Iterable[Any], kept: Collection[Any]) -> list[Any]:
    """The cases for `parametrize`, all but those of `kept` marked slow; a tuple is several arguments."""
    cases = list(cases)
    if lacking := [case for case in kept if case not in cases] or not kept:
        raise ValueError(f"kept {lacking}: expected some of {cases}")
    return [
        case
        if case in kept
        else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
        for case in cases
    ]


def swept(names: Iterable[Any], whole: Any, *axes: Sequence[Any]) -> list[Any]:
    """All products; each day those of one name, and of the others the one with the last of each axis."""
    cases = list(itertools.product(names, *axes))
    last = tuple(axis[-1] for axis in axes)
    return daily(cases, [case for case in cases if case[0] == whole or case[1:] == last])


def covering(features: Mapping[str, Iterable[Hashable]]) -> list[str]:
    """Few of the names, which together have every feature: the next is the one with most that are new."""
    left = {name: set(has) for name, has in features.items()}
    missing, found = set().union(*left.values()), []
    while missing:
        best = max(left, key=lambda name: len(left[name] & missing))
        found.append(best)
        missing -= left[best]
    return found
