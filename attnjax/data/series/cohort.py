"""Persons at a landmark: what happened to each until then, and the label of what came after."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from attnjax.config import require
from attnjax.data.series.config import SeriesData
from attnjax.data.series.events import PersonEvents, number
from attnjax.data.series.malformed import Malformed, named
from attnjax.data.tables.files import Table


class PlantedDrift(NamedTuple):
    """A planted drift of each person.

    Attributes:
      signs: the number of the sign that drifts; of a person without drift, one that does not.
      onsets: the time before the landmark (a negative number) at which it begins, or would.
    """

    signs: Int[np.ndarray, " n"]
    onsets: Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Cohort:
    """Persons with their events up to the landmark, the last ones first cut to `data.max_events`.

    Attributes:
      names: of the signs.
      times: before the landmark, in the unit of the file: 0 or less; 0 in the padding, which stands last.
      signs: their numbers in `names`; -1 in the padding, and where the name is not among them.
      values: in the unit of the file; NaN where there is none.
      labels: 1 for the positive label.
      table: a row for each person: its further columns.
      truth: what was planted; None of one's own persons.
    """

    names: tuple[str, ...]
    times: Float[np.ndarray, "n T"]
    signs: Int[np.ndarray, "n T"]
    values: Float[np.ndarray, "n T"]
    labels: Int[np.ndarray, " n"]
    table: Table
    truth: PlantedDrift | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def present(self) -> Bool[np.ndarray, "n T"]:
        """True where there is an event of a known sign."""
        return self.signs >= 0

    def chosen(self, rows: np.ndarray) -> "Cohort":
        """Returns the persons of these numbers."""
        truth = None if self.truth is None else PlantedDrift(*(array[rows] for array in self.truth))
        arrays = (self.times[rows], self.signs[rows], self.values[rows], self.labels[rows])
        return Cohort(self.names, *arrays, self.table.chosen(rows), truth)

    def until(self, times: Float[np.ndarray, " n"]) -> "Cohort":
        """Returns the persons as they are at earlier landmarks: later events are gone.

        Args:
          times: of the new landmarks, 0 or less.
        """
        there = self.present & (self.times <= times[:, None])
        truth = None if self.truth is None else self.truth._replace(onsets=self.truth.onsets - times)
        return replace(
            self,
            times=np.where(there, self.times - times[:, None], 0),
            signs=np.where(there, self.signs, -1),
            values=np.where(there, self.values, np.nan),
            truth=truth,
        )


def cohort(
    events: PersonEvents, outcomes: Table, data: SeriesData, positive: str
) -> tuple[Cohort, list[str]]:
    """Returns the persons whose label is known, and notes on those who are left out.

    A person counts who is there after the landmark, that is whose end of follow-up, if it is known, is later.
    With a horizon a person without the event, and without follow-up for as long, has no label.

    Args:
      events: of all persons of a part.
      outcomes: a row for each person, of which some may have no events.
      data: the settings.
      positive: the value of `data.event` whose label is 1.

    Raises:
      InputError: events are of persons without outcome, or an end is no number.
    """
    home = {who: row for row, who in enumerate(outcomes.columns[data.person])}
    strangers = Malformed()
    for who, place in zip(events.persons, events.places, strict=True):
        if who not in home:
            strangers.add(place, f"the person {who!r} has no row in {outcomes.source}")
    strangers.require_none(len(events.persons), skip=data.skip_malformed)
    own = {who: slice(*events.starts[i : i + 2]) for i, who in enumerate(events.persons)}
    ends = _ends(outcomes, data)
    event = outcomes.columns[data.event] == positive
    rows, parts, labels = [], [], []
    few, gone, unknown = Malformed(), 0, 0
    places = dict(zip(events.persons, events.places, strict=True))
    for row, who in enumerate(outcomes.columns[data.person]):
        label = bool(event[row])
        if data.landmark is not None and ends[row] <= data.landmark:
            gone += 1
            continue
        if data.horizon is not None:
            assert data.landmark is not None
            last = data.landmark + data.horizon
            if not label and ends[row] < last:
                unknown += 1
                continue
            label = label and ends[row] <= last
        span = own.get(who, slice(0, 0))
        times = events.times[span]
        now = data.landmark if data.landmark is not None else (times[-1] if len(times) else 0.0)
        # In order of time, so that what is known at the landmark comes first.
        count = int(np.searchsorted(times, now, side="right"))
        if count < data.least_events:
            few.add(places.get(who, outcomes.place(row)), f"{who!r} has {count} event(s)")
            continue
        start = span.start + max(0, count - data.max_events)
        rows.append(row)
        labels.append(int(label))
        parts.append((slice(start, span.start + count), now))
    require(
        len(rows) > 0,
        f"{outcomes.source}: no person is left: {gone} end by the landmark, {unknown} before the horizon, "
        f"{len(few.lines)} have fewer than {data.least_events} events: data.landmark, horizon, least_events",
    )
    found = _padded(events, parts, np.array(labels), outcomes.chosen(np.array(rows)), data.max_events)
    return found, _notes(strangers, few, gone, unknown, len(outcomes), data)


def _ends(outcomes: Table, data: SeriesData) -> Float[np.ndarray, " n"]:
    if data.end is None:
        require(
            data.horizon is None, "data.end is None: data.horizon needs the column with the end of follow-up"
        )
        return np.full(len(outcomes), np.inf)
    found = [number(text) for text in outcomes.columns[data.end]]
    wrong = next((row for row, end in enumerate(found) if end is None or np.isnan(end)), None)
    if wrong is not None:
        text = outcomes.columns[data.end][wrong]
        require(False, f"{outcomes.place(wrong)}: {data.end} is {text!r}: expected a number")
    return np.array(found, float)


def _padded(
    events: PersonEvents, parts: list[tuple[slice, float]], labels: np.ndarray, table: Table, most: int
) -> Cohort:
    names = tuple(sorted({sign for span, _ in parts for sign in events.signs[span]}))
    codes = {name: code for code, name in enumerate(names)}
    width = min(most, max(span.stop - span.start for span, _ in parts))
    times, values = np.zeros((len(parts), width)), np.full((len(parts), width), np.nan)
    signs = np.full((len(parts), width), -1)
    for row, (span, now) in enumerate(parts):
        count = span.stop - span.start
        times[row, :count] = events.times[span] - now
        values[row, :count] = events.values[span]
        signs[row, :count] = [codes[sign] for sign in events.signs[span]]
    return Cohort(names, times, signs, values, labels, table)


def _notes(
    strangers: Malformed, few: Malformed, gone: int, unknown: int, total: int, data: SeriesData
) -> list[str]:
    notes = []
    if strangers.lines:
        notes.append(strangers.text(total, "persons have no outcome, and are left out"))
    if gone:
        notes.append(f"{gone} of {total} persons are left out: {data.end} is not after the landmark")
    if unknown:
        notes.append(
            f"{unknown} of {total} persons are left out: their follow-up ends within the horizon, so that "
            "nobody knows their label"
        )
    if few.lines:
        less = f"fewer than {data.least_events} events up to the landmark"
        notes.append(f"{len(few.lines)} of {total} persons are left out: {less}: {named(few.lines)}")
    return notes
