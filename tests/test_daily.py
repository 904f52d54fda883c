"""What does not run every day is marked, never forgotten."""

import pytest

from tests.daily import covering, daily, swept


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


def test_a_sweep_keeps_all_of_one_name_and_one_of_each_other() -> None:
    cases = swept("ab", "b", [1, 2], [3, 4])
    assert [case for case in cases if isinstance(case, tuple) and not hasattr(case, "marks")] == [
        ("a", 2, 4),
        *[("b", i, j) for i in (1, 2) for j in (3, 4)],
    ]
    assert len(cases) == 8


def test_few_names_have_every_feature() -> None:
    assert covering({"one": "ab", "two": "bcd", "three": "d", "four": "ea"}) == ["two", "four"]
