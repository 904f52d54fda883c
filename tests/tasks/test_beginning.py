"""Parameters from elsewhere: what fits is taken, all that does not is one error."""

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.tasks.beginning import beginning, flat

LIKE = {
    "blocks": {0: {"kernel": np.zeros((2, 3))}, 1: {"kernel": np.zeros((3, 3))}},
    "head": {"kernel": np.zeros((3, 4)), "bias": np.zeros(4)},
}


def given(**changes: np.ndarray | None) -> dict[str, np.ndarray]:
    found = {name: np.full(x.shape, i + 1.0) for i, (name, x) in enumerate(flat(LIKE).items())} | changes
    return {name: x for name, x in found.items() if x is not None}


def test_what_has_the_names_and_shapes_is_taken_and_what_is_new_is_said() -> None:
    found = beginning(given(), LIKE, "source")
    assert flat(found.params)["blocks.1.kernel"][0, 0] == 2
    assert (found.fresh, found.unused) == ((), ())
    other = {"head.kernel": np.zeros((3, 7)), "head.bias": None, "pooler.kernel": np.zeros((3, 3))}
    found = beginning(given(**other), LIKE, "source", fresh=["head.*"], unused=["pooler.*"])
    assert set(flat(found.params)) == {"blocks.0.kernel", "blocks.1.kernel"}
    assert found.text == (
        "2 parameters are given; made new: head.bias [4], head.kernel [3, 4]; left out: pooler.kernel"
    )


def test_all_that_does_not_fit_is_one_error() -> None:
    other = {"blocks.0.kernel": np.zeros((2, 5)), "blocks.1.kernel": None, "extra": np.zeros(3)}
    with pytest.raises(InputError) as caught:
        beginning(given(**other), LIKE, "train.init_from (x)", fresh=["head.*"])
    assert str(caught.value) == (
        "train.init_from (x) does not fit the model in 3 places: blocks.0.kernel [2, 5]: expected [2, 3]; "
        "blocks.1.kernel [3, 3]: the source has none; extra [3]: the model has none"
    )
