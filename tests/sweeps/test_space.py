"""What a sweep varies, read from the command line: typed values, ranges, and one line for what is wrong."""

import enum
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.models.config import LanguageModelConfig
from attnjax.sweeps.space import Categorical, Range, parse_axes, parse_space


class Order(enum.Enum):
    FIRST = "1st"
    LAST = 2


@dataclass(frozen=True)
class Model:
    heads: int = 4
    hidden: int | None = None
    kind: Literal["a", "b", 3] = "a"


@dataclass(frozen=True)
class Config:
    model: Model = Model()
    rate: float = 0.1
    limit: float | None = None
    flag: bool = False
    which: Order = Order.FIRST
    several: list[str] = field(default_factory=list)
    name: str = ""
    label: str | None = None
    file: Path | None = None
    sizes: tuple[int, ...] = (1,)
    seed: int = 0


def same(values, expected) -> bool:
    return list(map(repr, values)) == list(map(repr, expected))


def test_a_mechanism_with_commas_is_one_value():
    config = LanguageModelConfig()
    text = "mechanism=gla,longformer(size=4, tokens=2),kda*3+neighborhood(shape=[2, 2])"
    values = ["gla", "longformer(size=4, tokens=2)", "kda*3+neighborhood(shape=[2, 2])"]
    assert parse_axes(config, [text]) == {"mechanism": values}
    assert parse_space(config, [text]) == {"mechanism": Categorical(tuple(values))}
    assert parse_axes(config, ["mechanism=a(b,c"]) == {"mechanism": ["a(b", "c"]}


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("model.heads=2,-4", [2, -4]),
        ("model.heads= 2, 4 ", [2, 4]),
        ("model.hidden=None,8", [None, 8]),
        ("model.kind=b,3", ["b", 3]),
        ("rate=0,1e-3", [0.0, 0.001]),
        ("limit=None,2", [None, 2.0]),
        ("flag=True,false", [True, False]),
        ("which=LAST,FIRST", [Order.LAST, Order.FIRST]),
        ("""name="a, b",c,'d,"e"',it's,''""", ["a, b", "c", 'd,"e"', "it's", ""]),
        ('label="None",None,"0..1"', ["None", None, "0..1"]),
        ("name=None,3,True,1.5,a=b", ["None", "3", "True", "1.5", "a=b"]),
        ("name= a, b ", ["a", "b"]),
        ("label=None,x", [None, "x"]),
        ("file=None,../a.tsv", [None, Path("../a.tsv")]),
        ("seed=0,1", [0, 1]),
    ],
)
def test_values_get_the_type_of_the_annotation(argument, values):
    ((name, parsed),) = parse_axes(Config(), [argument]).items()
    assert name == argument.partition("=")[0]
    assert same(parsed, values)
    assert same(parse_space(Config(), [argument])[name].values, values)


def test_axes_keep_their_order():
    assert list(parse_axes(Config(), ["rate=1", "model.heads=2", "flag=True"])) == [
        "rate",
        "model.heads",
        "flag",
    ]


@pytest.mark.parametrize("parse", [parse_axes, parse_space])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["model.haeds=2"],
            "--sweep: unknown field 'model.haeds'; did you mean model.heads or model.hidden or model.kind?",
        ),
        (
            ["model=2"],
            "--sweep: unknown field 'model'; did you mean model.kind or model.heads or model.hidden?",
        ),
        (["model.heads=2,x"], "--sweep model.heads is 'x': expected int"),
        (["model.heads=2.0"], "--sweep model.heads is '2.0': expected int"),
        (["model.heads=True"], "--sweep model.heads is 'True': expected int"),
        (["model.heads=None"], "--sweep model.heads is 'None': expected int"),
        (["model.hidden=x"], "--sweep model.hidden is 'x': expected int or None"),
        (["model.kind=c"], "--sweep model.kind is 'c': expected one of a, b, 3"),
        (["flag=yes"], "--sweep flag is 'yes': expected True or False"),
        (["which=1st"], "--sweep which is '1st': expected one of FIRST, LAST"),
        (["several=a"], "--sweep several is a list[str]: expected a field that holds one value"),
        (['seed="1"'], "--sweep seed is '1': expected int"),
        (["flag=1"], "--sweep flag is '1': expected True or False"),
        (["rate=nan"], "--sweep rate is 'nan': expected float"),
        (["rate=0,inf"], "--sweep rate is 'inf': expected float"),
        (["model.heads="], "--sweep model.heads is '': expected values with commas between them"),
        (["model.heads=2,,4"], "--sweep model.heads is '2,,4': expected values with commas between them"),
        (
            ["model.heads"],
            "--sweep is 'model.heads': expected FIELD=VALUES, such as train.steps=100,200",
        ),
        (["rate=1", "model.heads=2", "rate=2"], "--sweep rate is given twice"),
        (["rate=1,0.5,1.0"], "--sweep rate has 1.0 twice"),
        (["sizes=1"], "--sweep sizes is a tuple[int, ...]: expected a field that holds one value"),
    ],
)
def test_what_cannot_be_read_is_one_line(parse, arguments, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        parse(Config(), arguments, flag="--sweep")


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("rate=0..0.3", Range(0.0, 0.3)),
        ("rate=log:1e-4..1e-2", Range(1e-4, 1e-2, log=True)),
        ("rate=-1..1", Range(-1.0, 1.0)),
        ("limit=1..2", Range(1.0, 2.0)),
        ("model.heads=1..4", Range(1, 4, integer=True)),
        ("model.hidden=log:16..512", Range(16, 512, log=True, integer=True)),
        ("file=../a.tsv", Categorical((Path("../a.tsv"),))),
        ("file=a/../b", Categorical((Path("a/../b"),))),
    ],
)
def test_ranges_are_read(argument, expected):
    ((_, domain),) = parse_space(Config(), [argument]).items()
    assert repr(domain) == repr(expected)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("rate=0.3..0", "--space rate is '0.3..0': expected a range LOW..HIGH with LOW < HIGH"),
        ("rate=1..1", "--space rate is '1..1': expected a range LOW..HIGH with LOW < HIGH"),
        ("rate=log:0..1", "--space rate is 'log:0..1': a logarithmic range begins above 0"),
        ("model.heads=log:-1..2", "--space model.heads is 'log:-1..2': a logarithmic range begins above 0"),
        ("model.heads=1..4.5", "--space model.heads is '4.5': expected int"),
        ("model.hidden=None..4", "--space model.hidden is 'None': expected int"),
        ("rate=0..x", "--space rate is 'x': expected float"),
        ("rate=0..inf", "--space rate is 'inf': expected float"),
        ("rate=..1", "--space rate is '..1': expected float"),
        ("rate=0..", "--space rate is '0..': expected float"),
        ("rate=log:0.1", "--space rate is 'log:0.1': expected float"),
        ("flag=0..1", "--space flag is '0..1', a range: expected True or False"),
        ("name=a..b", "--space name is 'a..b', a range: expected str"),
        ("model.kind=1..3", "--space model.kind is '1..3', a range: expected one of a, b, 3"),
    ],
)
def test_a_range_that_cannot_be_is_one_line(argument, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        parse_space(Config(), [argument])


def test_an_axis_of_a_grid_is_no_range():
    with pytest.raises(InputError, match=r"--grid model.heads is '1..4': expected int"):
        parse_axes(Config(), ["model.heads=1..4"])


def draws(domain: Categorical | Range, count: int = 20_000) -> list:
    rng = np.random.default_rng(0)
    return [domain.sample(rng) for _ in range(count)]


def shares(values: list) -> dict:
    return {value: values.count(value) / len(values) for value in sorted(set(values))}


def test_a_choice_draws_each_value_equally_often():
    drawn = draws(Categorical((2, 4, 8)))
    assert shares(drawn) == pytest.approx({2: 1 / 3, 4: 1 / 3, 8: 1 / 3}, abs=0.02)


def test_whole_numbers_are_equally_frequent_and_both_ends_are_reached():
    drawn = draws(Range(1, 4, integer=True))
    assert all(type(number) is int for number in drawn)
    assert shares(drawn) == pytest.approx({number: 0.25 for number in (1, 2, 3, 4)}, abs=0.02)


def test_whole_numbers_of_a_logarithmic_range_get_their_interval_of_the_logarithm():
    drawn = draws(Range(1, 4, log=True, integer=True))
    assert all(type(number) is int for number in drawn)
    widths = {number: np.log((number + 0.5) / (number - 0.5)) / np.log(9) for number in (1, 2, 3, 4)}
    assert shares(drawn) == pytest.approx(widths, abs=0.02)


def test_numbers_are_evenly_spread_over_the_range():
    drawn = np.array(draws(Range(-1.0, 3.0)))
    assert drawn.min() >= -1
    assert drawn.max() <= 3
    quartiles = np.quantile(drawn, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(quartiles, [0, 1, 2], atol=0.05)


def test_numbers_of_a_logarithmic_range_are_evenly_spread_in_their_logarithm():
    drawn = draws(Range(1e-4, 1e-2, log=True))
    assert all(type(number) is float and 1e-4 <= number <= 1e-2 for number in drawn)
    np.testing.assert_allclose(np.quantile(np.log10(drawn), [0.25, 0.5, 0.75]), [-3.5, -3, -2.5], atol=0.05)


def test_only_what_has_finitely_many_values_has_a_finite_size():
    assert Categorical((1, 2)).size == 2
    assert Range(3, 7, integer=True).size == 5
    assert Range(0.0, 1.0).size == float("inf")
