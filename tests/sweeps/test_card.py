"""The report card: the rule for the rate on made-up trials, means over sources by hand, what is missing."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from attnjax.sweeps.report.card import (
    LONGER,
    TRAINED,
    MeasuredCost,
    Row,
    card,
    chosen_rate,
    markdown,
    records,
)
from attnjax.sweeps.report.card_figure import card_figure
from attnjax.sweeps.report.card_sources import sources_figure
from attnjax.sweeps.store import TrialRecord

COLUMN = "answers %"


def trial(
    rate: float,
    seed: int,
    validation: float | None,
    test: float = 0.0,
    *,
    mechanism: str = "gla",
    source: str = "text",
    status: str = "done",
) -> TrialRecord:
    changes = {"model.mechanism": mechanism, "data.source": source, "train.learning_rate": rate, "seed": seed}
    metrics = {
        "as trained": {COLUMN: test},
        "1.5 times as long": {COLUMN: -1.0},
        "twice as many pairs": {COLUMN: test / 2},
    }
    result = {"status": status, "validation": {"answers": validation}, "metrics": metrics}
    return TrialRecord(0, changes, status, None if status == "waiting" else result, Path())


def test_the_rate_is_chosen_by_the_mean_validation_and_not_by_the_test() -> None:
    found = chosen_rate(
        [trial(0.1, 0, 60, 1), trial(0.1, 1, 50, 3), trial(0.2, 0, 90, 99), trial(0.2, 1, 10, 99)],
        "answers",
        COLUMN,
    )
    assert (found.rate, found.missing) == (0.1, 0)
    assert found.scores == {TRAINED: {0: 1, 1: 3}, LONGER: {0: 0.5, 1: 1.5}}


@pytest.mark.parametrize(
    ("second", "status"), [(99.0, "failed"), (math.nan, "done"), (None, "done"), (99.0, "waiting")]
)
def test_a_rate_with_which_a_seed_failed_or_waits_comes_after_one_without(
    second: float | None, status: str
) -> None:
    trials = [trial(0.1, 0, 60, 1), trial(0.1, 1, 50, 3), trial(0.2, 0, 90, 99)]
    found = chosen_rate([*trials, trial(0.2, 1, second, status=status)], "answers", COLUMN)
    assert (found.rate, found.missing) == (0.1, 1)


def test_equal_rates_give_the_first_and_no_trial_gives_none() -> None:
    assert chosen_rate([trial(0.1, 0, 50), trial(0.2, 0, 50)], "answers", COLUMN).rate == 0.1
    none = chosen_rate([trial(0.1, 0, None, status="waiting")], "answers", COLUMN)
    assert (none.rate, none.missing, none.scores[TRAINED]) == (None, 1, {})


def made() -> list[Row]:
    """Two mechanisms of two sources, and one that lacks a source."""
    trials = [
        trial(0.1, seed, 1.0, base + seed, mechanism=mechanism, source=source)
        for mechanism, bases in {"gla": (10, 30), "kda(a$=1)": (50, 60)}.items()
        for source, base in zip(("text", "dates"), bases, strict=True)
        for seed in range(3)
    ]
    trials += [trial(0.1, 0, 1.0, 90, mechanism="new")]
    trials += [trial(0.1, 0, None, mechanism="new", source="dates", status="waiting")]
    return card(trials, {"gla": MeasuredCost((2e-6, 1e-6, 4e-6), 2**20, 640, 9000)}, "answers", COLUMN)


def test_rows_are_ordered_by_the_mean_over_all_sources() -> None:
    rows = made()
    assert [row.mechanism for row in rows] == ["kda(a$=1)", "gla", "new"]
    assert [row.overall(TRAINED) for row in rows] == [{0: 55, 1: 56, 2: 57}, {0: 20, 1: 21, 2: 22}, {}]
    assert [row.missing for row in rows] == [0, 0, 1]


def test_tables_hold_the_same_numbers() -> None:
    rows = made()
    table = records(rows)
    assert len({tuple(row) for row in table}) == 1
    gla = table[1]
    assert (gla["as trained %"], gla["as trained sd"], gla["twice as long %"]) == (21, 1, 10.5)
    assert (gla["text as trained %"], gla["dates seeds"], gla["dates learning rate"]) == (11, 3, 0.1)
    assert (gla["seconds per token"], gla["numbers that decoding holds"]) == (2e-6, 640)
    new = table[2]
    assert (new["as trained %"], new["text as trained %"], new["missing trials"]) == (None, 90, 1)
    heads, _, _, line, lacking = markdown(rows).splitlines()
    assert heads == "| mechanism | all | text | dates | µs/token | MiB | holds |"
    assert line.startswith("| `gla` | 21.0 ± 1.0 → 10.5 ± 0.5 | 11.0 ± 1.0 → ")
    assert line.endswith(" | 2 | 1 | 640 |")
    assert lacking == "| `new` | — | 90 → 45 | — | — | — | — |"


def test_the_figure_has_a_line_for_each_mechanism_and_four_panels() -> None:
    figure = card_figure(made(), "made up")
    assert [axes.get_xlabel().split()[0] for axes in figure.axes] == ["answers", "µs", "MiB,", "numbers"]
    first = figure.axes[0]
    assert [label.get_text() for label in first.get_yticklabels()] == ["new", "gla", r"kda(a\$=1)"]
    trained, longer = (container.lines[0] for container in first.containers)
    assert trained.get_xdata().tolist() == [21, 56]
    assert longer.get_xdata().tolist() == [10.5, 28]
    assert figure.axes[1].containers[0].lines[0].get_xdata().tolist() == [2.0]


def test_a_figure_without_costs_has_one_panel() -> None:
    (panel,) = card_figure([replace(row, cost=None) for row in made()], "made up").axes
    assert panel.containers[0].lines[0].get_xdata().tolist() == [21, 56]


def test_the_figure_of_sources_has_two_columns_for_each() -> None:
    (axes,) = sources_figure(made(), "made up").axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["text", "dates"]
    assert axes.get_xticks().tolist() == [0.5, 2.5]
    assert [label.get_text() for label in axes.get_yticklabels()] == [r"kda(a\$=1)", "gla", "new"]
    means = [[51, 25.5, 61, 30.5], [11, 5.5, 31, 15.5], [90, 45, math.nan, math.nan]]
    np.testing.assert_array_equal(np.ma.filled(axes.images[0].get_array(), math.nan), means)
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    expected = {(x, y): f"{mean:.0f}" for y, line in enumerate(means) for x, mean in enumerate(line)}
    assert texts == {place: text for place, text in expected.items() if text != "nan"}
