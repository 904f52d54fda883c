"""Files of interactions: MovieLens, RecBole, CSV and Parquet. Errors name the file and its line."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from attnjax.config import InputError, fetched_by, require

ROLES = {
    "user": ("user", "user_id", "userid"),
    "item": ("item", "item_id", "itemid", "movie_id", "movieid"),
    "time": ("time", "timestamp", "time_stamp"),
    "weight": ("weight", "rating"),
}
"""The names that columns may have, in lower case."""
WITHOUT_HEADER = ("user", "item", "weight", "time")
"""The columns of MovieLens' u.data and ratings.dat."""
MOVIELENS_TITLES = {".item": "|", ".dat": "::"}
"""The separators of MovieLens' u.item and movies.dat, by the ends of their names."""


@dataclass(frozen=True)
class Events:
    """The events of a file in its order; users and items are numbered as they first come."""

    users: Int[np.ndarray, " E"]
    items: Int[np.ndarray, " E"]
    times: Float[np.ndarray, " E"]
    weights: Float[np.ndarray, " E"]
    user_names: list[str]
    item_names: list[str]


def read_events(file: Path) -> Events:
    """Returns the events of u.data, ratings.dat, ratings.csv, another .csv, .inter or .parquet.

    A CSV or Parquet file has columns user, item and time, and may have a weight; the order does not matter.
    Times are seconds, or dates as ISO 8601 writes them.

    Raises:
      InputError: the file cannot be read or has no event, a column is missing, or a value is none.
    """
    import polars

    frame, first = _frame(file)
    found = {}
    for role, names in ROLES.items():
        columns = [column for column in frame.columns if column.split(":")[0].strip().lower() in names]
        require(len(columns) < 2, f"{file}: columns {', '.join(columns)} all mean {role}: expected one")
        require(
            bool(columns) or role == "weight",
            f"{file}: no column for {role}; expected one of {', '.join(names)}, "
            f"got {', '.join(frame.columns)}",
        )
        if columns:
            found[role] = frame[columns[0]]
    require(len(frame) > 0, f"{file}: there is no event in it")
    for role, column in found.items():
        missing = column.is_null() | (column.cast(polars.String, strict=False) == "")
        _refuse(file, first, missing.to_numpy(), column, role, "a value")
    times = _numbers(file, first, found["time"], "time", dates=True)
    weights = np.ones(len(frame))
    if "weight" in found:
        weights = _numbers(file, first, found["weight"], "weight")
    users, user_names = _coded(found["user"])
    items, item_names = _coded(found["item"])
    return Events(users, items, times, weights, user_names, item_names)


def read_titles(file: Path) -> dict[str, str]:
    """Returns the title of each item by its name, of MovieLens' u.item or movies.dat, or a table.

    A table has a header; its first column has the items, the one called title (or name, or the second) what
    people call them.

    Raises:
      InputError: the file cannot be read, or has one column alone.
    """
    _require_file(file)
    if file.suffix in MOVIELENS_TITLES:
        raw = file.read_bytes()
        if b"\t" not in raw.partition(b"\n")[0]:  # RecBole's .item has tabs.
            return _movielens_titles(file, raw)
    frame, _ = _frame(file)
    require(frame.width > 1, f"{file}: one column alone; expected items and their titles")
    titled = [name for name in frame.columns[1:] if "title" in name.lower() or "name" in name.lower()]
    names, titles = frame[frame.columns[0]], frame[(titled or frame.columns[1:])[0]]
    return {str(name): str(title) for name, title in zip(names, titles, strict=True) if title is not None}


def _movielens_titles(file: Path, raw: bytes) -> dict[str, str]:
    separator = MOVIELENS_TITLES[file.suffix]
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # The 10M release is UTF-8, the older ones are not.
    titles = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        item, *more = line.rstrip("\r").split(separator)
        require(len(more) > 0, f"{file}:{number}: {line[:40]!r}: expected an item{separator}its title")
        titles[item] = more[0]
    return titles


def _require_file(file: Path) -> None:
    command = fetched_by(file)
    require(file.is_file(), f"{file}: there is no such file" + (f"; `{command}` makes it" if command else ""))


def _frame(file: Path) -> tuple[Any, int | None]:
    """Returns the table of a file in texts, and the line of its first row; None where it has no lines."""
    import polars

    _require_file(file)
    options: dict[str, Any] = {"infer_schema": False, "quote_char": None}
    try:
        if file.suffix == ".parquet":
            return polars.read_parquet(file), None
        if file.suffix in (".inter", ".item"):
            return polars.read_csv(file, separator="\t", **options), 2
        if file.suffix == ".csv":
            return polars.read_csv(file, **options | {"quote_char": '"'}), 2
        if file.suffix in (".dat", ".data"):
            raw = file.read_bytes().replace(b"::", b"\t")
            options |= {"separator": "\t", "has_header": False, "encoding": "utf8-lossy"}
            frame = polars.read_csv(raw, **options)
            require(frame.width == 4, f"{file}: {frame.width} columns; expected user, item, rating, time")
            return frame.rename(dict(zip(frame.columns, WITHOUT_HEADER, strict=True))), 1
    except (OSError, polars.exceptions.PolarsError) as error:
        raise InputError(f"{file}: it cannot be read: {str(error).splitlines()[0]}") from None
    raise InputError(f"{file}: expected u.data, ratings.dat, .csv, .inter or .parquet")


def _numbers(file: Path, first: int | None, column: Any, role: str, *, dates: bool = False) -> np.ndarray:
    import polars

    if column.dtype.is_temporal():
        return column.cast(polars.Datetime("us")).dt.epoch("us").to_numpy() / 1e6
    found = column.cast(polars.Float64, strict=False)
    if dates and found.null_count() == len(found):
        read = column.str.to_datetime(strict=False, time_unit="us")
        if read.null_count() < len(read):
            _refuse(file, first, read.is_null().to_numpy(), column, role, "a date, as the others are")
            return read.dt.epoch("us").to_numpy() / 1e6
    wrong = ~np.isfinite(found.fill_null(np.nan).to_numpy())
    _refuse(file, first, wrong, column, role, "a number")
    return found.to_numpy()


def _refuse(
    file: Path, first: int | None, wrong: np.ndarray, column: Sequence[Any], role: str, expected: str
) -> None:
    """Raises InputError for the first value that is wrong."""
    places = np.flatnonzero(wrong)
    if len(places):
        place = f"{file}:{places[0] + first}" if first is not None else f"{file}, row {places[0]}"
        more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
        raise InputError(f"{place}: {role} is {column[int(places[0])]!r}: expected {expected}{more}")


def _coded(column: Any) -> tuple[np.ndarray, list[str]]:
    """Returns numbers from 0 in the place of names, and the names."""
    import polars

    column = column.cast(polars.String).alias("name")
    names = column.unique(maintain_order=True)
    coded = polars.DataFrame({"name": names, "code": np.arange(len(names), dtype=np.int32)})
    joined = column.to_frame().join(coded, on="name", how="left", maintain_order="left")
    return joined["code"].to_numpy(), names.to_list()
