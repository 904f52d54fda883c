"""Tables in files: CSV and Parquet, as texts. Errors name file and row."""

import csv
import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from attnjax.config import InputError, require

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "None", "?")
"""Texts that stand for no value."""


class Table(NamedTuple):
    """Rows of texts by the names of their columns.

    Attributes:
      source: the name of the file.
      columns: the texts of each column, "" where there is none.
      lines: the place of each row in the file: its line, or in a Parquet file its number from 1.
    """

    source: str
    columns: dict[str, np.ndarray]
    lines: np.ndarray

    def __len__(self) -> int:
        return len(self.lines)

    def chosen(self, rows: np.ndarray) -> "Table":
        """Returns the rows of these numbers."""
        return Table(
            self.source, {name: column[rows] for name, column in self.columns.items()}, self.lines[rows]
        )

    def place(self, row: int) -> str:
        """Returns file and line of a row."""
        return f"{self.source}:{self.lines[row]}"


def read_table(file: Path) -> Table:
    """Returns the rows of a .csv or a .parquet file.

    Raises:
      InputError: the file cannot be read, has no rows, names a column twice, or a row has another number of
        fields than there are names.
    """
    kind = file.suffix.lower()
    require(kind in (".csv", ".parquet"), f"{file}: expected a name that ends in .csv or .parquet")
    try:
        names, rows, lines = _of_csv(file) if kind == ".csv" else _of_parquet(file)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({(error.strerror or str(error)).lower()})") from error
    twice = next((name for name in names if names.count(name) > 1), None)
    require(twice is None, f"{file}:1: the column {twice!r} is named twice")
    require(len(rows) > 0, f"{file}: the file has no rows")
    texts = np.array(rows, dtype=object).reshape(len(rows), len(names))
    return Table(str(file), {name: texts[:, i] for i, name in enumerate(names)}, np.array(lines))


def require_columns(table: Table, names: Iterable[str], field: str) -> None:
    """Raises InputError for a column that a table has not, with the nearest of its names."""
    for name in names:
        if name not in table.columns:
            near = difflib.get_close_matches(name, table.columns, 3, 0.4) or list(table.columns)[:3]
            raise InputError(
                f"{table.source}:1: there is no column {name!r}, which {field} names; the nearest are "
                f"{', '.join(near)}"
            )


def _of_csv(file: Path) -> tuple[list[str], list[list[str]], list[int]]:
    rows, lines = [], []
    with file.open(encoding="utf-8-sig", newline="") as opened:
        reader = csv.reader(opened)
        try:
            names = [name.strip() for name in next(reader, [])]
            require(bool(names), f"{file}: the file is empty")
            for row in reader:
                if not row:
                    continue
                require(
                    len(row) == len(names),
                    f"{file}:{reader.line_num}: {len(row)} field(s), expected {len(names)} as in line 1",
                )
                rows.append([_text(value) for value in row])
                lines.append(reader.line_num)
        except UnicodeDecodeError:
            raise InputError(f"{file}:{reader.line_num + 1}: not UTF-8 from here on") from None
        except csv.Error as error:
            raise InputError(f"{file}:{reader.line_num}: {error}") from None
    return names, rows, lines


def _of_parquet(file: Path) -> tuple[list[str], list[list[str]], list[int]]:
    import polars

    try:
        frame = polars.read_parquet(file)
    except polars.exceptions.PolarsError as error:
        line = str(error).partition("\n")[0]
        raise InputError(f"{file}: not a Parquet file ({line})") from None
    rows = [["" if value is None else _text(str(value)) for value in row] for row in frame.iter_rows()]
    return frame.columns, rows, list(range(1, len(rows) + 1))


def _text(value: str) -> str:
    text = value.strip()
    return "" if text in MISSING else text
