"""Files of texts with labels: TSV, CSV, Parquet, JSON lines, folders. Errors name file and row."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from attnjax.config import InputError, require
from attnjax.data.tables.files import read_table, require_columns
from attnjax.data.text.lines import decoded, lines_of
from attnjax.data.text.parallel_text import parallel_text

SHOWN = 10
"""Rows that an error names."""


class LabelledRow(NamedTuple):
    """A text with its label, and the file and row that it is from."""

    text: str
    label: str
    place: str


def read_rows(file: Path, text: str, label: str) -> list[LabelledRow]:
    """Returns the texts of a file, or of a folder.

    Args:
      file: a .csv or .parquet file with the columns `text` and `label`; a .jsonl file with an object a line
        that has them; a folder whose folders have the names of the labels and a .txt file for each text;
        another file is read as TSV: text<TAB>label a line.
      text: the name of the column of texts.
      label: that of labels.

    Raises:
      InputError: the file cannot be read or is empty, it has no such column, or a row has no text or no
        label: they are counted, and the first ten named.
    """
    if file.is_dir():
        found = list(_of_folder(file))
    elif file.suffix in (".csv", ".parquet"):
        found = list(_of_table(file, text, label))
    elif file.suffix in (".jsonl", ".json"):
        found = list(_of_json_lines(file, text, label))
    else:
        found = list(_of_tsv(file))
    refuse([row for row in found if isinstance(row, str)], len(found))
    return [row for row in found if isinstance(row, LabelledRow)]


def refuse(malformed: Sequence[str], count: int | None = None) -> None:
    """Raises InputError where there are rows that cannot be used, with their number and the first ten.

    Args:
      malformed: "file:row: why" of each.
      count: of all rows; None: not said.
    """
    if malformed:
        more = f"; and {len(malformed) - SHOWN} more" if len(malformed) > SHOWN else ""
        of = "" if len(malformed) == 1 or count is None else f"{len(malformed)} of {count} rows: "
        raise InputError(of + "; ".join(malformed[:SHOWN]) + more)


def _of_tsv(file: Path) -> Iterator[LabelledRow | str]:
    for pair in parallel_text(file, group=""):
        if isinstance(pair, str):
            named = pair.replace("source<TAB>target", "text<TAB>label")
            yield named.replace("the target text", "the label").replace("the source text", "the text")
        else:
            yield LabelledRow(pair.source, pair.target, pair.place)


def _of_table(file: Path, text: str, label: str) -> Iterator[LabelledRow | str]:
    table = read_table(file)
    require_columns(table, (text,), "data.text_column")
    require_columns(table, (label,), "data.label_column")
    columns = zip(table.columns[text], table.columns[label], strict=True)
    for row, (own, other) in enumerate(columns):
        yield _row(own, other, table.place(row))


def _of_json_lines(file: Path, text: str, label: str) -> Iterator[LabelledRow | str]:
    for number, line in enumerate(lines_of(file), 1):
        place = f"{file}:{number}"
        if not line.strip():
            continue
        try:
            record = json.loads(decoded(line, place))
        except InputError as error:
            yield str(error)
            continue
        except json.JSONDecodeError as error:
            yield f"{place}: no JSON ({error.msg})"
            continue
        lacks = text if not isinstance(record, dict) or text not in record else label
        if not isinstance(record, dict) or lacks not in record:
            has = ", ".join(record) if isinstance(record, dict) else type(record).__name__
            yield f"{place}: expected an object with {text!r} and {label!r}, got {has or 'an empty one'}"
        elif not isinstance(record[text], str) or not isinstance(record[label], str | int | float):
            yield f"{place}: expected a text in {text!r} and a text or a number in {label!r}"
        else:
            yield _row(" ".join(record[text].split()), str(record[label]).strip(), place)


def _of_folder(folder: Path) -> Iterator[LabelledRow | str]:
    files = [file for own in sorted(folder.iterdir()) if own.is_dir() for file in sorted(own.rglob("*.txt"))]
    require(
        len(files) > 0,
        f"{folder}: expected folders with the names of the labels, and .txt files in them",
    )
    for file in files:
        try:
            text = decoded(file.read_bytes(), str(file))
        except InputError as error:
            yield str(error)
            continue
        yield _row(" ".join(text.split()), file.relative_to(folder).parts[0], str(file))


def _row(text: str, label: str, place: str) -> LabelledRow | str:
    if not text or not label:
        return f"{place}: the {'label' if text else 'text'} is empty"
    return LabelledRow(text, label, place)
