"""The settings of losses check themselves."""

import pytest

from attnjax.config import InputError
from attnjax.tasks.config import CrossEntropyConfig


@pytest.mark.parametrize("value", [-1, 1.0, "0.1", float("nan")])
def test_a_share_that_is_none_is_refused(value):
    with pytest.raises(InputError, match=r"loss.label_smoothing is .*: it must be a number in \[0, 1\)"):
        CrossEntropyConfig(label_smoothing=value)
