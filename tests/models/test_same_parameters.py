"""A seed draws the parameters that it always drew: sums recorded when mechanisms were declared elsewhere."""

import jax
import numpy as np
import pytest
from flax import nnx

from attnjax.models import LanguageModel, LanguageModelConfig

SUMS = {
    "softmax": (-24.918620, 3787),
    "window(size=3)": (-24.918620, 3787),
    "gla": (-8.868538, 4859),
    "mamba2": (-16.820066, 4263),
    "delta_product": (-24.178334, 5739),
    "performer": (-6.571124, 3803),
    "gated_slot": (-14.951375, 4347),
}


@pytest.mark.parametrize("mechanism", SUMS)
def test_a_seed_draws_the_same_parameters(mechanism: str) -> None:
    sizes = {"dim": 16, "heads": 2, "hidden": 16, "layers": 2, "positions": "none"}
    model = LanguageModel(LanguageModelConfig(mechanism=mechanism, **sizes), vocab=11, rngs=nnx.Rngs(3))
    leaves = jax.tree.leaves(nnx.to_pure_dict(nnx.state(model, nnx.Param)))
    expected, size = SUMS[mechanism]
    assert sum(x.size for x in leaves) == size
    found = sum((np.ravel(x) * np.cos(np.arange(x.size))).sum() for x in leaves)
    np.testing.assert_allclose(found, expected, atol=1e-3)
