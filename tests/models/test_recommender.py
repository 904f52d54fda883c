"""Models of histories: padding, order and time, and a Deep Interest Network as its formula."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.models.interest import InterestNetwork
from attnjax.models.recommender import Recommender, time_bias
from attnjax.models.recommender_config import InterestConfig, RecommenderConfig

SMALL: dict[str, Any] = {
    "dim": 8,
    "heads": 2,
    "layers": 2,
    "hidden": 8,
    "positions": "learned",
    "max_length": 8,
}
ITEMS, LENGTHS = jnp.array([[3, 1, 4, 1, 5], [9, 2, 6, 0, 0]]), jnp.array([5, 3])
TIMES = jnp.array([[0, 5, 90, 91, 5000], [0, 3, 70, 0, 0]])


def moved(model: Any) -> Any:
    """With every parameter off its initial value."""
    leaves, tree = jax.tree.flatten(nnx.state(model, nnx.Param))
    keys = jax.random.split(jax.random.key(1), len(leaves))
    new = [x + 0.3 * jax.random.normal(key, x.shape) for x, key in zip(leaves, keys, strict=True)]
    nnx.update(model, jax.tree.unflatten(tree, new))
    return model


@pytest.mark.parametrize("causal", [True, False])
def test_padding_is_seen_by_nothing_and_what_comes_later_by_no_causal_model(causal: bool) -> None:
    mechanism = "hstu" if causal else "softmax"
    config = RecommenderConfig(**SMALL, causal=causal, mechanism=mechanism, time_buckets=10)
    model = moved(Recommender(config, items=11, rngs=nnx.Rngs(0)))
    states = jax.jit(lambda items, times: model(items, lengths=LENGTHS, times=times).states)
    found = states(ITEMS, TIMES)
    padded = states(ITEMS.at[1, 3:].set(7), TIMES.at[1, 3:].set(999))
    np.testing.assert_allclose(padded[1, :3], found[1, :3], atol=1e-6)
    later = np.asarray(states(ITEMS.at[0, 4].set(8), TIMES.at[0, 4].set(6000)))
    assert np.allclose(later[0, :4], found[0, :4], atol=1e-6) == causal
    sooner = states(ITEMS, TIMES.at[0, 2].set(6))
    assert not np.allclose(sooner[0, 2], found[0, 2], atol=1e-4)
    with pytest.raises(ValueError, match="times None: a model with time_buckets reads the times of events"):
        model(ITEMS, lengths=LENGTHS)


def test_the_bucket_of_a_time_is_its_logarithm() -> None:
    times = jnp.array([[0, 1, 2, 3, 4, 1023, 1024, 2**30]])
    found = time_bias(jnp.arange(25.0)[:, None], times)[0, 0, 0]
    expected = [min(int(np.floor(np.log2(max(t, 1)))), 24) for t in times[0].tolist()]
    assert found.tolist() == expected


def test_a_deep_interest_network_is_its_formula() -> None:
    model = moved(
        InterestNetwork(InterestConfig(dim=3, unit_hidden=(4,), hidden=(5, 4)), items=11, rngs=nnx.Rngs(0))
    )
    candidates = jnp.array([[7, 3], [0, 10]])
    found = jax.jit(lambda: model(ITEMS, candidates, lengths=LENGTHS))()
    table, bias = (np.asarray(x[...], np.float64) for x in (model.embedding.embedding, model.bias))

    def through(layers: Any, x: np.ndarray) -> float:
        for i, layer in enumerate(layers):
            x = x @ np.asarray(layer.kernel[...]) + np.asarray(layer.bias[...])
            x = x / (1 + np.exp(-x)) if i < len(layers) - 1 else x
        return float(x[0])

    for row in range(2):
        for column in range(2):
            item = int(candidates[row, column])
            e, read = table[item], np.zeros(3)
            for h in table[ITEMS[row, : LENGTHS[row]]]:
                read += through(model.unit, np.concatenate([h, e, h - e, h * e])) * h
            expected = through(model.head, np.concatenate([read, e, read * e])) + bias[item]
            np.testing.assert_allclose(found[row, column], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"causal": False, "mechanism": "selective"},
            "selective is causal only, but an encoder",
        ),
        (
            {"time_buckets": 3, "mechanism": "gla"},
            "model.time_buckets is 3: it acts on scores",
        ),
        ({"time_buckets": -1}, "model.time_buckets is -1: it must be 0 or more"),
        ({"layers": 0}, "model.layers is 0: it must be a whole number, 1 or more"),
    ],
)
def test_settings_check_themselves(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        RecommenderConfig(**change)
    with pytest.raises(InputError, match=r"model.hidden is empty"):
        InterestConfig(hidden=())
