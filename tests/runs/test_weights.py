"""Which parameters of a run a text names."""

import pytest

from attnjax.config import InputError
from attnjax.runs.weights import read_weights


@pytest.mark.parametrize("text", ["", "mean", "last:", "last:0", "best:-1", "3", "best:2.5"])
def test_what_names_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=f"--weights is '{text}': expected last, best, or last:5"):
        read_weights(text)
