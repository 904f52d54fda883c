"""Tensors in which groups of heads lie apart: read whole or in part, and written into the same places."""

import numpy as np
from flax import nnx

from attnjax.nn.projection import into_heads
from attnjax.pretrained.copying import _Single
from attnjax.pretrained.table import Entry, join

KEYS, EACH, SIZE, DIM = 3, 2, 4, 5


def test_any_part_is_what_lies_there() -> None:
    """Each of 3 groups has the rows of something else before those of its 2 heads."""
    tensor = np.arange(KEYS * (1 + EACH * SIZE) * DIM, dtype=np.float32).reshape(-1, DIM)
    entry = Entry(
        "w",
        "value.kernel",
        lambda x: x.reshape(KEYS, -1, DIM)[:, 1:].reshape(KEYS, EACH, SIZE, DIM),
        tensor.shape,
        heads=(KEYS, EACH),
    )
    kernel = into_heads(DIM, {"heads": KEYS * EACH, "head_dim": SIZE}, rngs=nnx.Rngs(0)).kernel
    view = join(entry, kernel).of(tensor)
    assert np.shares_memory(view, tensor)
    expected = np.stack(
        [tensor[g * (1 + EACH * SIZE) + 1 + e * SIZE :][:SIZE].T for g in range(KEYS) for e in range(EACH)],
        axis=1,
    )
    source = _Single(view, expected.shape)
    for index in ((slice(None),) * 3, (slice(1, 4), slice(3, 5), slice(None))):
        out = np.empty_like(expected[index])
        source.into(out, index)
        np.testing.assert_array_equal(out, expected[index])
