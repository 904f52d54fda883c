import enum
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnjax.config import InputError
from attnjax.experiment.serialize import decode, encode, field_types, flatten

pytestmark = pytest.mark.versions


class Order(enum.Enum):
    FIRST = "1st"
    LAST = 2


@dataclass(frozen=True)
class Inner:
    name: str = "a"
    kind: Literal["x", "y", 3] = "x"
    hidden: int | None = None


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    other: Inner | None = None
    file: Path | None = None
    sizes: tuple[int, ...] = ()
    pair: tuple[str, float] = ("a", 0.5)
    rate: float = 0.1
    flag: bool = False
    order: Order = Order.FIRST
    orders: list[Order] = field(default_factory=list)
    anything: list = field(default_factory=list)


inners = st.builds(Inner, st.text(), st.sampled_from(["x", "y", 3]), st.none() | st.integers(-(2**70), 2**70))
outers = st.builds(
    Outer,
    inners,
    st.none() | inners,
    st.none() | st.from_regex(r"[a-z/]+", fullmatch=True).map(Path),
    st.lists(st.integers()).map(tuple),
    st.tuples(st.text(), st.floats(allow_nan=False, allow_infinity=False)),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.sampled_from(Order),
    st.lists(st.sampled_from(Order)),
    st.lists(st.none() | st.booleans() | st.integers() | st.text()),
)


@given(outers)
def test_a_config_survives_json_without_loss(config):
    assert decode(Outer, json.loads(json.dumps(encode(config)))) == config


def test_a_whole_number_in_a_float_field_is_written_as_a_float():
    assert type(encode(Outer(rate=0))["rate"]) is float


def test_fields_that_the_json_lacks_take_their_defaults():
    assert decode(Outer, {"inner": {"name": "b"}}) == Outer(inner=Inner(name="b"))


def test_a_bool_is_no_number_and_a_number_no_bool():
    with pytest.raises(InputError, match=r"inner.hidden is True: expected int or None"):
        encode(Outer(inner=Inner(hidden=True)))
    with pytest.raises(InputError, match=r"flag is 1: expected True or False"):
        decode(Outer, {"flag": 1})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"inner": {"nmae": 1}}, "inner.nmae is not a field of Inner"),
        ({"inner": {"kind": "z"}}, "inner.kind is 'z': expected one of x, y, 3"),
        ({"other": {"kind": "z"}}, "other.kind is 'z': expected one of x, y, 3"),
        ({"sizes": [1, "2"]}, r"sizes\[1\] is '2': expected int"),
        ({"pair": ["a"]}, r"pair is \['a'\]: expected tuple"),
        ({"rate": "fast"}, "rate is 'fast': expected float"),
        ({"order": "1st"}, "order is '1st': expected one of FIRST, LAST"),
        ({"orders": "FIRST"}, r"orders is 'FIRST': expected list\[.*Order\]"),
        ({"inner": 3}, "inner is 3: expected Inner"),
    ],
)
def test_json_that_does_not_fit_is_refused_by_field(data, message):
    with pytest.raises(InputError, match=message):
        decode(Outer, data)


@dataclass(frozen=True)
class Rated:
    function: float = 0.0


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (len, "the callable len"),
        (np.zeros(2), "an object of type ndarray"),
        (object(), "an object of type object"),
    ],
)
def test_what_is_not_data_is_refused(value, shown):
    with pytest.raises(InputError, match=f"function is {shown}: expected float"):
        encode(Rated(function=value))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_does_not_have_are_refused(value):
    with pytest.raises(InputError, match="expected a finite number"):
        encode(Outer(rate=value))


def test_flatten_and_field_types_name_the_same_fields():
    assert set(flatten(encode(Outer()))) == {name for name, _ in field_types(Outer)}
