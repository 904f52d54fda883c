"""What does not run every day is marked, never forgotten."""

import pytest

from tests.daily import covering, daily


def test_all_but_what_is_kept_is_marked_slow() -> None:
    assert daily("abc", ["b"]) == [
        pytest.param("a", marks=pytest.mark.slow),
        "b",
        pytest.param("c", marks=pytest.mark.slow),
    ]
    assert daily([("a", 1), ("b", 2)], [("b", 2)]) == [pytest.param("a", 1, marks=pytest.mark.slow), ("b", 2)]


@pytest.mark.parametrize("kept", [["d"], ["a", "d"], []])
def test_what_is_kept_must_be_there(kept: list[str]) -> None:
    with pytest.raises(ValueError, match=r"expected some of \['a', 'b', 'c'\]"):
        daily("abc", kept)


def test_few_names_have_every_feature() -> None:
    assert covering({"one": "ab", "two": "bcd", "three": "d", "four": "ea"}) == ["two", "four"]
