"""Copying: the string comes again after the separator, and what is asked there is always the next token."""

import numpy as np
import pytest

from attnjax.data.synthetic.config import CopyingData
from attnjax.data.synthetic.copying import LONGER, LONGEST, TWICE, Copying
from attnjax.data.synthetic.questions import AS_TRAINED, NOT_ASKED

DATA = Copying(CopyingData(letters=5, length=7))


@pytest.mark.parametrize(
    ("setting", "lengths"),
    [(AS_TRAINED, set(range(1, 8))), (LONGEST, {7}), (LONGER, {11}), (TWICE, {14})],
)
def test_what_is_asked_is_the_string_again_and_its_end(setting: str, lengths: set[int]) -> None:
    made = DATA.rows(200, np.random.default_rng(0), setting)
    seen = set()
    for tokens, answers in zip(made["tokens"], made["answers"], strict=True):
        text = "".join(map(DATA.word, tokens))
        string, _, again = text.partition("|")
        seen.add(len(string))
        assert set(string) <= set("abcde")
        assert again == string.ljust(len(again), "·")
        asked = np.flatnonzero(answers != NOT_ASKED)
        assert asked.tolist() == list(range(len(string), 2 * len(string) + 1))
        assert "".join(map(DATA.word, answers[asked])) == string + "·"
    assert seen == lengths
    assert made["tokens"].shape[1] == 2 * max(lengths) + 1
