"""A seed draws the parameters that it always drew: sums recorded when mechanisms were declared elsewhere."""

import jax
import numpy as np
import pytest
from flax import nnx

from attnjax.models import LanguageModel, LanguageModelConfig

SUMS = {
    "softmax": (-9.614373, 3787),
    "window(size=3)": (-9.614373, 3787),
    "gla": (16.300224, 4859),
    "mamba2": (-12.755184, 4263),
    "delta_product": (-16.986024, 5739),
    "performer": (10.723980, 3803),
    "gated_slot": (-0.808701, 4347),
}


@pytest.mark.parametrize("mechanism", SUMS)
def test_a_seed_draws_the_same_parameters(mechanism: str) -> None:
    sizes = {"dim": 16, "heads": 2, "hidden": 16, "layers": 2, "positions": "none"}
    model = LanguageModel(LanguageModelConfig(mechanism=mechanism, **sizes), vocab=11, rngs=nnx.Rngs(3))
    params = jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(nnx.state(model, nnx.Param)))
    x = np.concatenate([np.ravel(leaf).astype(float) for _, leaf in sorted(params, key=lambda p: str(p[0]))])
    expected, size = SUMS[mechanism]
    assert x.size == size
    np.testing.assert_allclose((x * np.cos(np.arange(size))).sum(), expected, atol=1e-3)
