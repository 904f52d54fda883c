"""Files of texts with labels: TSV, CSV, Parquet, JSON lines, folders. Errors name file and row."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from attnjax.config import InputError, require
from attnjax.data.text.columns import read_columns
from attnjax.data.text.lines import decoded

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
    else:
        found = [
            row if isinstance(row, str) else LabelledRow._make((*row.values, row.place))
            for row in read_columns(file, {"text": text, "label": label})
        ]
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
