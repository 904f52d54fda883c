"""What RecallData and CopyingData accept."""

import re

import pytest

from attnjax.config import InputError
from attnjax.data.synthetic.config import CopyingData, RecallData


@pytest.mark.parametrize(
    ("config", "fields", "message"),
    [
        (RecallData, {"pairs": 1}, "data.pairs is 1: it must be a whole number, 2 or more"),
        (RecallData, {"pairs": "8"}, "data.pairs is '8': it must be a whole number"),
        (
            RecallData,
            {"vocab": 33},
            "data.vocab is 33: it must be a whole number, 34 or more (keys",
        ),
        (RecallData, {"length": 30}, "data.length is 30: it must be a whole number, 32 or more (two tokens"),
        (RecallData, {"length": 33}, "data.length is 33: it must be even"),
        (RecallData, {"power": 0}, "data.power is 0: it must be a number in (0, 1]"),
        (RecallData, {"power": float("nan")}, "data.power is nan: it must be a number in (0, 1]"),
        (RecallData, {"evaluation_examples": 0}, "data.evaluation_examples is 0"),
        (RecallData, {"seed": -1}, "data.seed is -1"),
        (CopyingData, {"letters": 27}, "data.letters is 27: there are 26"),
        (CopyingData, {"letters": 1}, "data.letters is 1: it must be a whole number, 2 or more"),
        (CopyingData, {"length": 1.5}, "data.length is 1.5: it must be a whole number"),
        (CopyingData, {"seed": 1.0}, "data.seed is 1.0"),
    ],
)
def test_bad_fields_are_refused_by_name(config, fields, message):
    with pytest.raises(InputError, match="^" + re.escape(message)):
        config(**fields)
