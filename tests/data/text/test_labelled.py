"""Files of texts with labels: the same rows of each form, and one line for what cannot be used."""

import json
from pathlib import Path

import pytest

from attnjax.config import InputError
from attnjax.data.text.labelled import Labelled, as_numbers, class_names, labelled_parts
from attnjax.data.text.labelled_config import LabelledData
from attnjax.data.text.labelled_files import read_rows

PAIRS = [("a good film", "yes"), ("dull, and long", "no"), ("not bad", "yes"), ("weak", "no")]


def write(folder: Path, form: str, pairs: list[tuple[str, str]]) -> Path:
    """A file, or a folder, of texts with labels."""
    file = folder / f"own.{form}"
    if form == "folder":
        for i, (text, label) in enumerate(pairs):
            (file / label).mkdir(parents=True, exist_ok=True)
            (file / label / f"{i}.txt").write_text(text.replace(" ", "\n") + "\n")
    elif form == "csv":
        file.write_text("label,id,text\n" + "".join(f'{y},{i},"{x}"\n' for i, (x, y) in enumerate(pairs)))
    elif form == "jsonl":
        file.write_text("".join(json.dumps({"text": x, "label": y}) + "\n" for x, y in pairs) + "\n")
    else:
        file.write_text("".join(f"{x}\t{y}\n" for x, y in pairs))
    return file


@pytest.mark.parametrize(("form", "first"), [("tsv", ":1"), ("csv", ":2"), ("jsonl", ":1"), ("folder", "")])
def test_each_form_has_the_same_rows_and_their_places(form: str, first: str, tmp_path: Path) -> None:
    file = write(tmp_path, form, PAIRS)
    rows = read_rows(file, "text", "label")
    assert {row[:2] for row in rows} == set(PAIRS)
    place = next(row.place for row in rows if row.text == PAIRS[0][0])
    assert place == (str(file / "yes" / "0.txt") if form == "folder" else f"{file}{first}")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text,stars\ngood,1\n", "there is no column 'label', which data.label_column names; the"),
        ("a.csv", "text,label\n,1\ngood,1\nbad,\n", "2 of 3 rows: "),
        ("a.jsonl", '{"text": "good"}\n', ":1: expected an object with 'text' and 'label', got text"),
        (
            "a.jsonl",
            '{"text": "good", "label": 1}\n[]\nno\n',
            ":2: expected an object with 'text' and 'label'",
        ),
        ("a.jsonl", '{"text": 3, "label": 1}\n', ":1: expected a text in 'text'"),
        ("a.tsv", "one\n" * 12, "; and 2 more"),
        ("a.tsv", "\tyes\n", ":1: the text is empty"),
        ("gone.csv", None, "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_one_line_with_file_and_row(
    name: str, content: str | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError) as caught:
        read_rows(tmp_path / name, "text", "label")
    assert message in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_folders_of_labels_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("good")
    with pytest.raises(InputError, match="expected folders with the names of the labels"):
        read_rows(tmp_path, "text", "label")


def test_a_class_that_stands_in_one_row_is_named_by_its_place(tmp_path: Path) -> None:
    file = write(tmp_path, "tsv", [*PAIRS, ("so so", "perhaps")])
    with pytest.raises(InputError, match=r"own.tsv:5: the label 'perhaps' stands in this row of"):
        labelled_parts(LabelledData(train=file))
    # Ratings are another thing.
    numbers = write(tmp_path, "tsv", [(f"text {i}", str(i)) for i in range(9)])
    assert set(labelled_parts(LabelledData(train=numbers, labels="numbers"))) == {
        *("train", "validation", "test")
    }


def test_labels_that_do_not_fit_are_named_by_their_place() -> None:
    train, test = Labelled(["a", "b"], ["0", "1"], ["x:1", "x:2"]), Labelled(["c"], ["?"], ["y:7"])
    with pytest.raises(InputError, match=r"^y:7: the label '\?' of data.test is none that training has"):
        class_names({"train": train, "test": test})
    with pytest.raises(InputError, match=r"^y:7: data.test has the label '\?': .* expected a number"):
        as_numbers("test", test)
