"""Overrides of a config: fields of every kind, and what is said of a wrong value."""

import enum
from dataclasses import dataclass

import pytest

from attnjax.config import InputError
from attnjax.experiment import overrides
from attnjax.experiment.words import changes_text
from attnjax.runs.report.digits import shown


class Order(enum.Enum):
    FIRST = "1st"
    LAST = 2


@dataclass(frozen=True)
class Config:
    """Fields of several kinds."""

    order: Order = Order.FIRST
    sizes: list[int] | None = None
    names: tuple[str, ...] = ()
    flag: bool = False


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--order LAST", Config(order=Order.LAST)),
        ("--sizes 1 2 --flag", Config(sizes=[1, 2], flag=True)),
        ("--names a b --flag true", Config(names=("a", "b"), flag=True)),
    ],
)
def test_every_kind_of_field_can_be_overridden(arguments, expected):
    assert overrides.apply(Config(), arguments.split(), program="test") == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--order 1st", "--order is '1st': expected one of FIRST, LAST"),
        ("--sizes 1,2", r"--sizes is '1,2': expected list\[int\] or None \(as --sizes A B C\)"),
        ("--flag maybe", "--flag is 'maybe': expected True or False$"),
    ],
)
def test_a_wrong_value_is_told_with_what_is_expected(arguments, message):
    with pytest.raises(InputError, match=message):
        overrides.apply(Config(), arguments.split(), program="test")


def test_a_member_of_an_enum_is_shown_as_the_command_line_takes_it():
    assert changes_text({"order": Order.LAST, "orders": [Order.FIRST]}) == "order=LAST orders=FIRST"
    assert shown(Order.LAST) == "LAST"
