"""Columns of files of texts: TSV, CSV, Parquet, JSON lines. Errors name file and row."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from attnjax.config import InputError, require
from attnjax.data.tables.files import read_table, require_columns
from attnjax.data.text.lines import decoded, lines_of
from attnjax.data.text.parallel_text import parallel_text


class ColumnRow(NamedTuple):
    """The values of a row in the columns that were asked for, none of them empty, and its file and row."""

    values: tuple[str, ...]
    place: str


def read_columns(file: Path, columns: Mapping[str, str]) -> Iterator[ColumnRow | str]:
    """Yields the rows of a file, and "file:row: why" in the place of one that lacks a value.

    Args:
      file: a .csv or .parquet file with such columns; a .jsonl file with an object a line that has them;
        another file is read as TSV, two values a line.
      columns: the name of a column by what it holds ("label"), as the field data.label_column has it. The
        first holds texts, the others texts or numbers.

    Raises:
      InputError: the file cannot be read or is empty, or a table has no such column, or a TSV more than two.
    """
    if file.suffix in (".csv", ".parquet"):
        yield from _of_table(file, columns)
    elif file.suffix in (".jsonl", ".json"):
        yield from _of_json_lines(file, columns)
    else:
        third = list(columns)[2:]
        require(
            not third,
            f"{file}: a TSV has two columns without names; data.{''.join(third[:1])}_column needs CSV, "
            "Parquet or JSON lines",
        )
        yield from _of_tsv(file, columns)


def _of_tsv(file: Path, columns: Mapping[str, str]) -> Iterator[ColumnRow | str]:
    first, second = columns
    for pair in parallel_text(file, group=""):
        if isinstance(pair, str):
            named = pair.replace("source<TAB>target", f"{first}<TAB>{second}")
            yield named.replace("the target text", f"the {second}").replace("the source text", f"the {first}")
        else:
            yield ColumnRow((pair.source, pair.target), pair.place)


def _of_table(file: Path, columns: Mapping[str, str]) -> Iterator[ColumnRow | str]:
    table = read_table(file)
    for what, name in columns.items():
        require_columns(table, (name,), f"data.{what}_column")
    for row, values in enumerate(zip(*(table.columns[name] for name in columns.values()), strict=True)):
        yield _row(values, columns, table.place(row))


def _of_json_lines(file: Path, columns: Mapping[str, str]) -> Iterator[ColumnRow | str]:
    text, *others = columns.values()
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
        if not isinstance(record, dict) or not all(name in record for name in (text, *others)):
            has = ", ".join(record) if isinstance(record, dict) else type(record).__name__
            wanted = " and ".join(map(repr, (text, *others)))
            yield f"{place}: expected an object with {wanted}, got {has or 'an empty one'}"
        elif not isinstance(record[text], str) or not all(
            isinstance(record[name], str | int | float) for name in others
        ):
            wanted = " and ".join(map(repr, others))
            yield f"{place}: expected a text in {text!r} and a text or a number in {wanted}"
        else:
            values = " ".join(record[text].split()), *(str(record[name]).strip() for name in others)
            yield _row(values, columns, place)


def _row(values: tuple[str, ...], columns: Mapping[str, str], place: str) -> ColumnRow | str:
    empty = [what for what, value in zip(columns, values, strict=True) if not value.strip()]
    return f"{place}: the {empty[0]} is empty" if empty else ColumnRow(tuple(values), place)
