"""The pointing game of dates: fields are where their texts stand, and only a look at the own field counts."""

import datetime

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.text.date_formats import date_formats
from attnjax.tasks.translation.alignment import Translation
from attnjax.tasks.translation.pointing import points_at_fields

DATE = datetime.date(2003, 2, 1)


@pytest.mark.parametrize("locale", ["es", "en", "ja", "de"])
def test_spans_are_where_the_fields_texts_stand(locale: str) -> None:
    for written in date_formats(locale):
        spans = written.spans(DATE)
        assert spans.keys() == written.fields.keys()
        for kind, span in spans.items():
            assert written(DATE)[span.start : span.stop] == written.fields[kind](DATE)


def test_a_digit_counts_where_it_looks_at_its_own_field() -> None:
    (written,) = [format for format in date_formats("es") if format.name == "short"]
    pieces = ["<es>", *written(DATE)[4:]]  # <es> 1/2/03
    assert pieces == ["<es>", " ", "1", "/", "2", "/", "0", "3"]
    weights = np.full((10, 8), 0.1)
    for row, column in {0: 6, 1: 6, 2: 7, 3: 0, 5: 4, 6: 2, 8: 2, 9: 2}.items():
        weights[row, column] = 1
    date = Translation("2003-02-01", pieces, list("2003-02-01"), weights)
    found = points_at_fields(date, written.spans(DATE))
    assert found == {"year": 0.75, "month": 0.5, "day": 1.0}
    # The places would be wrong by three if the tag were one character.
    off = {kind: range(span.start - 3, span.stop - 3) for kind, span in written.spans(DATE).items()}
    assert points_at_fields(date, off) != found
    with pytest.raises(InputError, match="expected an ISO date"):
        points_at_fields(Translation("x", pieces, ["x"], weights[:1]), written.spans(DATE))
    with pytest.raises(InputError, match="it lacks month, day"):
        points_at_fields(date, {"year": range(2)})
