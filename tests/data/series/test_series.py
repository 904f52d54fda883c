"""Series of persons: nothing after the landmark, labels by the horizon, parts by person, bad rows named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.series.config import SeriesData
from attnjax.data.series.features import SeriesFeatures, counted
from attnjax.data.series.parts import PARTS, SeriesParts, series_parts
from attnjax.data.series.planted import DIRECTIONS, SIGNS, best_shares, drift_of, excursion_of, planted
from attnjax.data.synthetic.questions import Split
from attnjax.tasks.metrics.binary import auroc, calibration_error

EVENTS = "person,time,sign,value\n"
OUTCOMES = "person,family,end,died,age\n"


def persons(count: int) -> tuple[str, str]:
    """Three events of each person, of which one is after day 10; the odd ones die on day 15."""
    events = "".join(f"p{i},{day},pulse,{60 + i + day}\n" for i in range(count) for day in (2, 9, 12))
    return EVENTS + events, OUTCOMES + "".join(
        f"p{i},f{i // 2},{15 if i % 2 else 90},{'yes' if i % 2 else 'no'},{40 + i}\n" for i in range(count)
    )


def read(folder: Path, events: str, persons: str, **changes: Any) -> SeriesParts:
    (folder / "events.csv").write_text(events)
    (folder / "persons.csv").write_text(persons)
    given: dict[str, Any] = {"train": folder / "events.csv", "outcomes": folder / "persons.csv"}
    given["event"] = "died"
    given |= {"end": "end", "landmark": 10, "horizon": 20, "holdout": 0.25}
    return series_parts(SeriesData(**given | changes))


def test_no_event_after_the_landmark_is_read_and_times_count_from_it(tmp_path: Path) -> None:
    parts = read(tmp_path, *persons(40))
    for own in parts.cohorts.values():
        there = own.present
        assert own.times.max() <= 0
        assert set(own.times[there]) == {-8.0, -1.0}
        # What the person has on day 12 is in no value.
        ages = own.table.columns["age"].astype(float)
        np.testing.assert_array_equal(own.values, np.stack([ages + 22, ages + 29], 1))
    last = read(tmp_path, *persons(40), max_events=1, least_events=1).cohorts["train"]
    np.testing.assert_array_equal(last.times, np.full((len(last), 1), -1.0))
    later = EVENTS + "".join(f"p{i},10,pulse,1\n" for i in range(40))
    assert read(tmp_path, later, persons(40)[1], least_events=1).cohorts["train"].times.max() == 0


def test_a_label_is_of_the_horizon_and_unknown_ones_are_left_out_and_counted(tmp_path: Path) -> None:
    events, outcomes = persons(40)
    events += "".join(f"{who},{day},pulse,60\n" for who in ("late", "gone", "dead", "few") for day in (1, 2))
    events += "last,3,pulse,60\n"
    outcomes += "late,a,31,yes,40\ngone,b,29,no,40\ndead,c,10,yes,40\nfew,d,30,no,40\nlast,e,99,no,40\n"
    parts = read(tmp_path, events, outcomes)
    label = {}
    for own in parts.cohorts.values():
        label |= dict(zip(own.table.columns["person"], own.labels.tolist(), strict=True))
    assert (label["p1"], label["p2"], label["late"], label["few"]) == (1, 0, 0, 0)
    assert not {"gone", "dead", "last"} & label.keys()
    assert "train: 1 of 45 persons are left out: end is not after the landmark" in parts.notes
    assert any("1 of 45 persons are left out: their follow-up ends within" in note for note in parts.notes)
    (few,) = (note for note in parts.notes if "fewer than 2 events" in note)
    assert few.endswith("events.csv:130: 'last' has 1 event(s)")


def test_no_person_and_no_family_is_in_two_parts(tmp_path: Path) -> None:
    parts = read(tmp_path, *persons(40), group="family").cohorts
    families = [set(parts[part].table.columns["family"]) for part in PARTS]
    assert len(set.union(*families)) == sum(map(len, families)) == 20
    assert sum(len(own) for own in parts.values()) == 40
    (tmp_path / "test.csv").write_text(EVENTS + "p1,1,pulse,9\np1,2,pulse,9\np3,1,pulse,9\n")
    with pytest.raises(InputError) as caught:
        read(tmp_path, *persons(40), test=tmp_path / "test.csv")
    text = str(caught.value)
    assert text.startswith("2 person(s) are in two parts, expected one: ")
    assert "test.csv:2: the person 'p1' is in data.train too; " in text
    assert "test.csv:4: the person 'p3'" in text


def test_own_test_persons_are_read_from_one_file_of_outcomes(tmp_path: Path) -> None:
    events, outcomes = persons(40)
    extra = "".join(f"t{i},{day},{sign},70\n" for i in range(4) for day, sign in ((1, "pulse"), (3, "new")))
    (tmp_path / "test.csv").write_text(EVENTS + extra)
    outcomes += "".join(f"t{i},g{i},{12 if i % 2 else 99},{'yes' if i % 2 else 'no'},50\n" for i in range(4))
    parts = read(tmp_path, events, outcomes, test=tmp_path / "test.csv").cohorts
    assert (len(parts["train"]), len(parts["validation"]), len(parts["test"])) == (30, 10, 4)
    features = SeriesFeatures.of(
        parts["train"], SeriesData(train=tmp_path, event="died", end="end", group="family")
    )
    assert features.signs == ("pulse",)
    # A sign that training has not is not there.
    np.testing.assert_array_equal(features.arrays(parts["test"])["present"], [[True, False]] * 4)


BAD = "p1,x,pulse,1\n,3,pulse,1\np1,13,,1\np1,13,pulse,high\np1,11,pulse,1\n"


def test_bad_rows_are_counted_and_the_first_ten_named(tmp_path: Path) -> None:
    events, outcomes = persons(40)
    with pytest.raises(InputError) as caught:
        read(tmp_path, events + BAD * 3, outcomes)
    text = str(caught.value)
    assert text.startswith("15 of 135 rows cannot be used: ")
    for reason in (
        "events.csv:122: time is 'x': expected a number; ",
        "events.csv:123: person is empty; ",
        "events.csv:124: sign is empty; ",
        "events.csv:125: value is 'high': expected a number; ",
        "events.csv:126: time is 11, before 12 of the row above it of 'p1'; ",
        "; and 5 more (--data.skip_malformed leaves them out)",
    ):
        assert reason in text
    assert "\n" not in text
    assert "events.csv:132" not in text
    parts = read(tmp_path, events + BAD * 3, outcomes, skip_malformed=True)
    assert sum(len(own) for own in parts.cohorts.values()) == 40
    assert parts.notes[0].startswith("left out, as data.skip_malformed says: 15 of 135 rows")


@pytest.mark.parametrize(
    ("events", "outcomes", "changes", "message"),
    [
        ("who,time,sign,value\np1,1,a,1\n", None, {}, "events.csv:1: there is no column 'person', which"),
        ("person,day,sign,value\np1,1,a,1\n", None, {}, "events.csv:1: there is no column 'time', which"),
        (None, None, {"event": "dyed"}, "persons.csv:1: there is no column 'dyed', which data.event"),
        (None, None, {"outcomes": None}, "data.outcomes is None: expected"),
        (None, OUTCOMES + "p1,a,9,yes,1\np1,a,9,no,1\n", {}, "persons.csv:3: the person 'p1' is in "),
        (None, OUTCOMES + "p1,a,9,yes,1\np2,a,9,no,1\n", {}, "38 of 40 rows cannot be used: "),
        (None, None, {"landmark": 200}, "no person is left: 40 end by the landmark"),
        (None, None, {"end": None}, "data.end is None: data.horizon needs the column"),
        (None, None, {"positive": "maybe"}, "data.positive is 'maybe'"),
        (None, None, {"landmark": None}, "data.horizon is 20: it needs data.landmark"),
        (None, None, {"max_events": 1}, "data.max_events is 1: expected data.least_events (2) or more"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, events: str | None, outcomes: str | None, changes: dict[str, Any], message: str
) -> None:
    good = persons(40)
    with pytest.raises(InputError) as caught:
        read(tmp_path, events or good[0], outcomes or good[1], **changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_psv_files_have_no_row_after_the_landmark_and_the_hour_of_sepsis(tmp_path: Path) -> None:
    for i in range(24):
        sick = i % 3 == 0
        lines = [f"{80 + h}|NaN|{60 + i}|{h}|{int(sick and h >= 7)}" for h in range(1, 16 if sick else 20)]
        (tmp_path / f"s{i:02}.psv").write_text("\n".join(["HR|Temp|Age|ICULOS|SepsisLabel", *lines]))
    settings = SeriesData(train=tmp_path, landmark=4, horizon=8, holdout=0.2, subgroups=("Age",))
    parts = series_parts(settings).cohorts
    assert parts["train"].names == ("HR",)
    np.testing.assert_array_equal(parts["train"].times[0], [-3, -2, -1, 0])
    assert sum(own.labels.sum() for own in parts.values()) == 8
    assert parts["test"].table.columns["Age"][0].isdigit()
    with pytest.raises(InputError, match=r"expected data\.landmark and data\.horizon, in hours"):
        series_parts(SeriesData(train=tmp_path))
    (tmp_path / "t.psv").write_text("HR|ICULOS|SepsisLabel\n1|2\n7|x|0\n")
    with pytest.raises(InputError, match=r"t\.psv:2: 2 field\(s\), expected 3; .*t\.psv:3: ICULOS is no num"):
        series_parts(settings)
    (tmp_path / "t.psv").write_text("HR|SepsisLabel\n1|2\n")
    with pytest.raises(InputError, match=r"t\.psv:1: there is no column 'ICULOS'"):
        series_parts(settings)


def test_ts_files_are_series_with_a_class_and_one_point_is_too_few(tmp_path: Path) -> None:
    file = tmp_path / "own.ts"
    head = "# made\n@problemName own\n@timeStamps false\n@classLabel true a b\n@data\n"
    rows = [f"{i},?,{i + 1}:5,6,7:{'ab'[i % 2]}" for i in range(20)]
    file.write_text(head + "\n".join([*rows, "3:4:a", ""]))
    parts = series_parts(SeriesData(train=file, holdout=0.2, least_events=3))
    own = parts.cohorts["train"]
    assert (own.names, parts.labels) == (("x0", "x1"), ("a", "b"))
    np.testing.assert_array_equal(own.times[0], [-2, -2, -1, 0, 0])
    assert parts.notes == [
        "train: 1 of 21 persons are left out: fewer than 3 events up to the landmark: "
        f"{file}:26: '{file}:26' has 2 event(s)"
    ]
    file.write_text(head + "1,x:a\n")
    with pytest.raises(InputError, match=r"own\.ts:6: a value is no number"):
        series_parts(SeriesData(train=file))
    file.write_text(head.replace("@timeStamps false", "@timeStamps true") + "(0,1):a\n")
    with pytest.raises(InputError, match="@timestamps is true: expected false"):
        series_parts(SeriesData(train=file))


def test_values_are_standardised_by_sign_and_counts_are_by_hand(tmp_path: Path) -> None:
    parts = read(tmp_path, *persons(40), subgroups=("age",)).cohorts
    settings = SeriesData(train=tmp_path, event="died", end="end", group="family")
    features = SeriesFeatures.of(parts["train"], settings)
    assert features.persons.names == ["age"]
    again = SeriesFeatures.loaded(features.dumped())
    arrays = again.arrays(parts["train"])
    values = parts["train"].values
    np.testing.assert_allclose(arrays["values"], (values - values.mean()) / values.std(), rtol=1e-5)
    found = counted(arrays, features.signs)
    np.testing.assert_allclose(found[:, 0], 2)
    np.testing.assert_allclose(found[:, 1], arrays["values"][:, 1])
    np.testing.assert_allclose(found[:, 2], -1)
    np.testing.assert_allclose(found[:, 3], arrays["values"].mean(1), rtol=1e-6)
    one = features.of_text("-1 pulse 80, -8 pulse; age=60")
    np.testing.assert_array_equal(one["times"], [-8, -1])
    assert np.isnan(one["values"][0])
    for text, message in (
        ("-1 pulse x", "expected a number"),
        ("3 pulse 1", "before now"),
        ("-1 a 1", "'a'"),
    ):
        with pytest.raises(InputError, match=message):
            features.of_text(text)


def test_a_planted_drift_is_where_it_is_said_and_no_score_beats_the_rules() -> None:
    data = SeriesData(drift=4.0)
    own = planted(3000, data, Split.TEST)
    assert own.truth is not None
    signs, onsets = own.truth
    after = (own.signs == signs[:, None]) & (own.times > onsets[:, None] + 1.5)
    before = (own.signs == signs[:, None]) & (own.times < -10) & (own.times > -13)
    for label, size in ((1, data.drift), (0, 0)):
        rows = own.labels == label
        pairs = [
            (DIRECTIONS[s] * (v[a].mean() - v[b].mean()))
            for s, v, a, b in zip(signs[rows], own.values[rows], after[rows], before[rows], strict=True)
            if a.any() and b.any()
        ]
        assert abs(np.mean(pairs) - size) < 0.3
    best = best_shares(own, data.drift)
    right = own.labels == 1
    # The rules are calibrated, and look at no more than what has come.
    assert calibration_error(best, right) < 0.03
    assert auroc(best, right) > 0.88
    cut, days = own.until(np.full(len(own), -4.0)), np.full(len(own), 4.0)
    assert calibration_error(best_shares(cut, data.drift, days), right) < 0.03
    assert calibration_error(best_shares(cut, data.drift), right) > 0.1
    cut = own.until(np.full(len(own), -8.0))
    assert abs(auroc(best_shares(cut, data.drift, np.full(len(own), 8.0)), right) - 0.5) < 0.03
    assert cut.times.max() <= 0
    assert len(SIGNS) == len(DIRECTIONS)
    assert drift_of(np.array(-3.0), np.array(2.0)) == 0
    assert excursion_of(np.array(0.0), np.array(10.0)) == 0
