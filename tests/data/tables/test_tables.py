"""Tables of persons: parts by person, numbers of texts, one line with file and row for each bad input."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.tables.config import TableData
from attnjax.data.tables.features import Features
from attnjax.data.tables.files import read_table
from attnjax.data.tables.parts import PARTS, label_names, table_parts

HEAD = "id,age,sex,note,died\n"


def rows(count: int, start: int = 0) -> str:
    """Two rows of each person; every third age is missing."""
    lines = (
        f"p{i // 2},{'NA' if i % 3 == 0 else 40 + i},{'female' if i % 2 else 'male'},{i % 2},{i // 2 % 2}"
        for i in range(start, start + count)
    )
    return "\n".join(lines) + "\n"


def data(folder: Path, text: str, **changes: Any) -> TableData:
    (folder / "own.csv").write_text(text)
    return TableData(**{"train": folder / "own.csv", "target": "died", "person": "id"} | changes)


def test_no_person_is_in_two_parts_and_no_row_is_lost(tmp_path: Path) -> None:
    parts = table_parts(data(tmp_path, HEAD + rows(60), holdout=0.3))
    persons = [set(parts[part].columns["id"]) for part in PARTS]
    assert len(set.union(*persons)) == sum(map(len, persons)) == 30
    assert sum(len(part) for part in parts.values()) == 60
    assert len(parts["test"]) == len(parts["validation"]) == 18
    other = table_parts(data(tmp_path, HEAD + rows(60), holdout=0.3, seed=1))
    assert set(other["test"].columns["id"]) != persons[2]


def test_numbers_are_standardised_classes_coded_and_nothing_of_the_label_is_read(tmp_path: Path) -> None:
    settings = data(tmp_path, HEAD + rows(12), categorical=("note",))
    table = read_table(tmp_path / "own.csv")
    assert label_names(table, settings) == ("0", "1")
    features = Features.of(table, settings)
    assert (features.names, features.classes) == (["age", "sex", "note"], (0, 2, 2))
    values = features.values(table)
    ages = np.array([np.nan if i % 3 == 0 else 40.0 + i for i in range(12)])
    expected = (ages - np.nanmean(ages)) / np.nanstd(ages)
    np.testing.assert_allclose(values[:, 0], expected, rtol=1e-5)
    np.testing.assert_array_equal(values[:4, 1:], [[1, 0], [0, 1], [1, 0], [0, 1]])
    again = Features.loaded(features.dumped())
    assert again.features == features.features
    row = again.of_record({"sex": "male"})
    assert row[1] == 1
    assert np.isnan(row[[0, 2]]).all()
    narrow = Features.of(table, data(tmp_path, HEAD + rows(12), left_out=("age",)))
    assert narrow.names == ["sex", "note"]


def test_a_parquet_file_is_the_same_table(tmp_path: Path) -> None:
    import polars

    (tmp_path / "own.csv").write_text(HEAD + rows(6))
    polars.read_csv(tmp_path / "own.csv", null_values="NA").write_parquet(tmp_path / "own.parquet")
    one, other = (read_table(tmp_path / f"own.{kind}") for kind in ("csv", "parquet"))
    for name, column in one.columns.items():
        np.testing.assert_array_equal(column, other.columns[name])
    assert (one.place(0)[-6:], other.place(0)[-10:]) == (".csv:2", ".parquet:1")


GOOD = HEAD + rows(40)


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        ("", {}, "own.csv: the file is empty"),
        (HEAD, {}, "own.csv: the file has no rows"),
        (HEAD + "p1,50,male,1\n", {}, "own.csv:2: 4 field(s), expected 5 as in line 1"),
        (
            GOOD,
            {"target": "dyed"},
            "own.csv:1: there is no column 'dyed', which data.target names; the nearest",
        ),
        (GOOD, {"left_out": ("agee",)}, "there is no column 'agee', which data.left_out names"),
        (GOOD + "p90,50,,1,\n", {}, "own.csv:42: the column 'died' is empty: data.target"),
        (GOOD + ",50,,1,1\n", {}, "own.csv:42: the column 'id' is empty: data.person"),
        (GOOD + "p90,50,,1,maybe\n", {}, "the column 'died' has 3 value(s) (0, 1, maybe), expected 2"),
        (HEAD + "p1,50,,1,0\np2,50,,1,0\n", {}, "the column 'died' has 1 value(s) (0), expected 2"),
        (GOOD + "p90,50,,1,yes\n", {"positive": "yes"}, "the column 'died' has 3 value(s)"),
        (HEAD + "p1,50,,1,0\np2,50,,1,0\np3,5,,1,1\n", {}, "own.csv:4: the label '1' stands in this row"),
        (HEAD + "p1,50,,1,0\np1,50,,1,0\np1,5,,1,1\np1,5,,1,1\n", {}, "has no row: expected more persons"),
        (
            GOOD,
            {"target": "sex", "positive": "man"},
            "data.positive is 'man': the values of 'sex' are female",
        ),
        ("a,a\n1,2\n", {}, "own.csv:1: the column 'a' is named twice"),
        (GOOD, {"train": None}, "data.train is None: expected a .csv or .parquet file"),
        (GOOD, {"train": Path("own.txt")}, "own.txt: expected a name that ends in .csv or .parquet"),
    ],
)
def test_bad_tables_are_one_line(tmp_path: Path, text: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        table_parts(data(tmp_path, text, **changes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_person_in_two_files_and_odd_values_are_named_by_file_and_row(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text(HEAD + rows(8, 30))
    with pytest.raises(InputError, match=r"test\.csv:2: the person 'p15' is in data\.train too"):
        table_parts(data(tmp_path, GOOD, test=tmp_path / "test.csv"))
    (tmp_path / "test.csv").write_text(HEAD + "p90,old,male,1,1\np91,3,male,1,0\n")
    settings = data(tmp_path, GOOD, test=tmp_path / "test.csv")
    parts = table_parts(settings)
    features = Features.of(parts["train"], settings)
    with pytest.raises(InputError, match=r"test\.csv:2: age is 'old': expected a number"):
        features.values(parts["test"])
    settings = data(tmp_path, GOOD + "p90,1,mael,1,1\n")
    with pytest.raises(InputError, match=r"own\.csv:42: the class 'mael' of 'sex' stands in this row"):
        Features.of(read_table(tmp_path / "own.csv"), settings)
    settings = data(tmp_path, HEAD + "".join(f"p{i},n{i},male,1,{i % 2}\n" for i in range(70)))
    with pytest.raises(InputError, match=r"own\.csv:2: the column 'age' has 70 classes, as 'n0' here"):
        Features.of(read_table(tmp_path / "own.csv"), settings)
    with pytest.raises(InputError, match="there is no column 'ages': expected age"):
        features.of_record({"ages": "3"})
    with pytest.raises(InputError, match="sex is 'x': expected one of female, male"):
        features.of_record({"sex": "x"})
