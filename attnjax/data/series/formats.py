"""Series of hospitals and archives: PhysioNet's .psv, a file for each stay, and .ts of UCR and aeon.

References:
  Reyna et al., Early Prediction of Sepsis from Clinical Data: the PhysioNet/Computing in Cardiology Challenge
    2019, 2020.
  Dau et al., The UCR Time Series Archive, 2018, arXiv:1810.07758.
"""

import math
from pathlib import Path

import numpy as np

from attnjax.config import InputError, require
from attnjax.data.series.events import EventRows, number
from attnjax.data.tables.files import MISSING, Table

HOUR, SEPSIS = "ICULOS", "SepsisLabel"
OF_STAY = ("Age", "Gender", "Unit1", "Unit2", "HospAdmTime")
"""Columns of .psv files that are the same in all rows of a stay."""
END = "end"


def read_psv(folder: Path, person: str, event: str) -> tuple[EventRows, Table]:
    """Returns the events of a folder of .psv files, and their outcomes: sepsis and its hour, or the last one.

    A row is an hour, a column a sign; what was not measured is no event.

    Raises:
      InputError: the folder has no such file, or one lacks the hour or the label.
    """
    files = sorted(folder.glob("*.psv"))
    require(len(files) > 0, f"{folder}: the folder has no .psv file")
    rows = EventRows(str(folder))
    columns: dict[str, list[str]] = {name: [] for name in (person, event, END, *OF_STAY)}
    for file in files:
        lines = _lines(file)
        names = [name.strip() for name in lines[0].split("|")] if lines else []
        for name in (HOUR, SEPSIS):
            require(
                name in names, f"{file}:1: there is no column {name!r}, expected it as PhysioNet 2019 has it"
            )
        stay: dict[str, str] = {}
        ends: list[tuple[float, bool]] = []
        for line, text in enumerate(lines[1:], 2):
            rows.total += 1
            values = [_text(value) for value in text.split("|")]
            if len(values) != len(names):
                rows.malformed.add(f"{file}:{line}", f"{len(values)} field(s), expected {len(names)}")
                continue
            record = dict(zip(names, values, strict=True))
            hour, sick = number(record.pop(HOUR)), record.pop(SEPSIS)
            wrong = next((name for name, value in record.items() if number(value) is None), None)
            if hour is None or math.isnan(hour) or wrong is not None:
                reason = f"{HOUR if wrong is None else wrong} is no number"
                rows.malformed.add(f"{file}:{line}", reason)
                continue
            ends.append((hour, sick == "1"))
            for name, value in record.items():
                if name in OF_STAY:
                    stay[name] = stay.get(name) or value
                elif value:
                    rows.add(file.stem, hour, name, float(value), f"{file}:{line}")
        sepsis = [hour for hour, sick in ends if sick]
        columns[person].append(file.stem)
        columns[event].append("1" if sepsis else "0")
        columns[END].append(f"{sepsis[0] if sepsis else max((hour for hour, _ in ends), default=0):g}")
        for name in OF_STAY:
            columns[name].append(stay.get(name, ""))
    return rows, _table(str(folder), columns)


def read_ts(file: Path, person: str, event: str) -> tuple[EventRows, Table]:
    """Returns the series of a .ts file: each is a person, each dimension a sign, and times count from 0.

    Raises:
      InputError: the file cannot be read, its series have times of their own or no class, or there is none.
    """
    rows = EventRows(str(file))
    columns: dict[str, list[str]] = {name: [] for name in (person, event)}
    header, data = {}, False
    for line, text in enumerate(_lines(file), 1):
        text = text.strip()
        if not text or text.startswith(("#", "%")):
            continue
        if not data:
            require(text.startswith("@"), f"{file}:{line}: expected a line that begins with @ before @data")
            name, _, value = text[1:].partition(" ")
            header[name.lower()] = value.strip().lower()
            data = name.lower() == "data"
            continue
        if not rows.total:
            _require_header(file, header)
        rows.total += 1
        *dimensions, label = text.split(":")
        place = f"{file}:{line}"
        texts = [[_text(value) for value in dimension.split(",")] for dimension in dimensions]
        numbers = [[number(value) for value in own] for own in texts]
        if not dimensions or not label.strip():
            rows.malformed.add(place, "expected values:label")
        elif any(value is None for own in numbers for value in own):
            rows.malformed.add(place, "a value is no number")
        else:
            columns[person].append(place)
            columns[event].append(label.strip())
            width = max(map(len, numbers))
            known = [
                (time, i, own[time])
                for time in range(width)
                for i, own in enumerate(numbers)
                if time < len(own)
            ]
            for time, i, measured in known:
                assert measured is not None
                if not math.isnan(measured):
                    rows.add(place, float(time), f"x{i}", measured, place)
    require(rows.total > 0, f"{file}: the file has no series: expected @data and a line for each")
    return rows, _table(str(file), columns)


def _require_header(file: Path, header: dict[str, str]) -> None:
    require(
        header.get("timestamps", "false") == "false",
        f"{file}: @timestamps is true: expected false, or a .csv file of events",
    )
    require(
        header.get("classlabel", "false").startswith("true"),
        f"{file}: @classLabel is {header.get('classlabel', 'not there')!r}: expected true and the classes",
    )


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({(error.strerror or str(error)).lower()})") from error
    except UnicodeDecodeError:
        raise InputError(f"{file}: not UTF-8") from None


def _text(value: str) -> str:
    text = value.strip()
    return "" if text in MISSING else text


def _table(source: str, columns: dict[str, list[str]]) -> Table:
    count = len(next(iter(columns.values())))
    arrays = {name: np.array(column, object) for name, column in columns.items()}
    return Table(source, arrays, np.arange(1, count + 1))
