"""What the settings of sources accept."""

import re

import pytest

from attnjax.config import InputError
from attnjax.data.synthetic.config import (
    CopyingData,
    DateBytesData,
    GroupWordsData,
    InductionData,
    LibraryBytesData,
    ListOpsData,
    RecallData,
    SelectiveCopyingData,
    SourceData,
)


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
        (InductionData, {"length": 2}, "data.length is 2: it must be a whole number, 3 or more (the trigger"),
        (InductionData, {"letters": 27}, "data.letters is 27: there are 26"),
        (SelectiveCopyingData, {"count": 0}, "data.count is 0: it must be a whole number, 1 or more"),
        (
            SelectiveCopyingData,
            {"length": 7},
            "data.length is 7: it must be a whole number, 8 or more (data",
        ),
        (ListOpsData, {"length": 3}, "data.length is 3: it must be a whole number, 4 or more (an operator"),
        (GroupWordsData, {"group": "A5"}, "data.group is 'A5': it must be one of Z2, S3, S5"),
        (GroupWordsData, {"evaluation_examples": 0}, "data.evaluation_examples is 0"),
        (LibraryBytesData, {"length": True}, "data.length is True: it must be a whole number, 1 or more"),
        (DateBytesData, {"locales": ()}, "data.locales is empty"),
        (DateBytesData, {"locales": ("xx",)}, "data.locales has 'xx': it must be one of en, en_GB"),
        (DateBytesData, {"examples": 0}, "data.examples is 0"),
        (SourceData, {"source": "s4"}, "data.source is 's4': there is no such source; did you mean s"),
        (
            SourceData,
            {"source": "x"},
            "data.source is 'x': there is no such source: expected one of recall",
        ),
        (SourceData, {"length": 15}, "data.length is 15: it must be a whole number, 16 or more"),
        (SourceData, {"length": 17}, "data.length is 17: it must be even"),
        (SourceData, {"seed": -1}, "data.seed is -1"),
    ],
)
def test_bad_fields_are_refused_by_name(config, fields, message):
    with pytest.raises(InputError, match="^" + re.escape(message)):
        config(**fields)
