"""The optimisers equal optax's own chains, with hyperparameters that are not constants."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from attnjax.config import InputError
from attnjax.train.config import TrainConfig
from attnjax.train.frozen import require_matches
from attnjax.train.optimizer import decays, hyperparameters, init_optimizer, update_params
from attnjax.train.schedules import schedule

pytestmark = pytest.mark.versions

CONFIG = TrainConfig(
    steps=20, warmup_steps=5, learning_rate=0.03, weight_decay=0.1, beta2=0.95, clip_norm=0.5
)
PARAMS = {
    "query": {"kernel": jnp.arange(24.0).reshape(2, 3, 4) / 9, "bias": jnp.ones(3)},
    "out": {"kernel": jnp.cos(jnp.arange(24.0)).reshape(3, 4, 2)},
}
_RATE = optax.warmup_cosine_decay_schedule(0.0, 0.03, 5, 21)
_SEEN_BY_MUON = {
    "query": {"kernel": optax.contrib.MuonDimensionNumbers((0,), (1, 2)), "bias": None},
    "out": {"kernel": optax.contrib.MuonDimensionNumbers((0, 1), (2,))},
}
PEERS: dict[str, Any] = {
    "adamw": lambda: optax.adamw(_RATE, 0.9, 0.95, weight_decay=0.1, mask=decays),
    "lion": lambda: optax.lion(_RATE, 0.9, 0.95, weight_decay=0.1, mask=decays),
    "sgd": lambda: optax.chain(
        optax.trace(0.9), optax.add_decayed_weights(0.1, decays), optax.scale_by_learning_rate(_RATE)
    ),
    "adafactor": lambda: optax.chain(
        optax.adafactor(None), optax.scale(-1), optax.add_decayed_weights(0.1, decays),
        optax.scale_by_learning_rate(_RATE),
    ),
    "muon": lambda: optax.contrib.muon(
        _RATE, beta=0.9, adam_b1=0.9, adam_b2=0.95, weight_decay=0.1, consistent_rms=0.2,
        muon_weight_dimension_numbers=_SEEN_BY_MUON,
    ),
}  # fmt: skip


def moved(config: TrainConfig, params: Any = PARAMS, steps: int = 8) -> Any:
    """The parameters after some updates with gradients that depend on them."""
    hyper, state = hyperparameters(config), init_optimizer(params, config)

    @jax.jit
    def update(params: Any, state: Any, step: jax.Array, hyper: Any) -> Any:
        rate = hyper["learning_rate"] * schedule(step, config)
        return update_params(params, gradients(params, step), state, hyper, rate, config)

    for step in range(steps):
        params, state = update(params, state, jnp.asarray(step), hyper)
    return params


def gradients(params: Any, step: Any) -> Any:
    return jax.tree.map(lambda x: jnp.cos(x * (step + 1)), params)


def near(got: Any, expected: Any) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6), got, expected)


@pytest.mark.parametrize("name", PEERS)
def test_updates_equal_those_of_optax(name: str) -> None:
    peer = optax.chain(optax.clip_by_global_norm(0.5), PEERS[name]())

    @jax.jit
    def update(params: Any, state: Any, step: jax.Array) -> Any:
        updates, state = peer.update(gradients(params, step), state, params)
        return optax.apply_updates(params, updates), state

    expected, state = PARAMS, peer.init(PARAMS)
    # optax's schedule begins with a rate of 0, ours with that of its next update.
    state = _counted_from_one(state)
    for step in range(8):
        expected, state = update(expected, state, jnp.asarray(step))
    near(moved(replace(CONFIG, optimizer=name)), expected)


def _counted_from_one(state: Any) -> Any:
    def one(node: Any) -> Any:
        return node._replace(count=node.count + 1) if isinstance(node, optax.ScaleByScheduleState) else node

    return jax.tree.map(one, state, is_leaf=lambda node: isinstance(node, optax.ScaleByScheduleState))


@pytest.mark.parametrize("name", PEERS)
def test_hyperparameters_are_traced(name: str) -> None:
    own = {"optimizer": name, "rate_patterns": ("out.*",), "rate_factors": (0.5,)}
    config = replace(CONFIG, **own)
    state = init_optimizer(PARAMS, config)

    def update(hyper: Any) -> Any:
        return update_params(PARAMS, PARAMS, state, hyper, hyper["learning_rate"], config)

    jaxpr = jax.make_jaxpr(update)(hyperparameters(config)).pretty_print(use_color=False)
    other = jax.make_jaxpr(update)(hyperparameters(replace(config, rate_factors=(0.1,), beta1=0.5)))
    assert jaxpr == other.pretty_print(use_color=False)


def test_the_schedule_warms_up_and_never_stands_still() -> None:
    rates = np.array([schedule(jnp.asarray(step), CONFIG) for step in range(20)])
    np.testing.assert_allclose(rates[:5], np.arange(1, 6) / 5, rtol=1e-6)
    assert (np.diff(rates[4:]) < 0).all()
    assert rates[-1] > 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("linear", [0.5, 1, 8 / 9, 7 / 9, 6 / 9, 5 / 9, 4 / 9, 3 / 9, 2 / 9, 1 / 9]),
        ("wsd", [0.5, 1, 1, 1, 1, 1, 1, 1, 1, 0.5]),
        ("constant", [0.5] + [1] * 9),
        ("inverse_sqrt", [0.5] + [np.sqrt(2 / (n + 1)) for n in range(1, 10)]),
    ],
)
def test_the_other_schedules(name: str, expected: list[float]) -> None:
    config = TrainConfig(steps=10, warmup_steps=2, schedule=name)
    np.testing.assert_allclose([schedule(jnp.asarray(n), config) for n in range(10)], expected, rtol=1e-6)


def test_without_warm_up_the_first_rate_is_near_the_peak() -> None:
    assert schedule(jnp.asarray(0), TrainConfig(steps=100, warmup_steps=0)) > 0.99


def test_weight_decay_applies_to_matrices_only() -> None:
    params = {
        "kernel": jnp.ones((2, 2)),
        "query_bias": jnp.ones((2, 2)),
        "norm": {"scale": jnp.ones((2, 2))},
        "gain": jnp.ones(2),
    }
    assert decays(params) == {"kernel": True, "query_bias": False, "norm": {"scale": False}, "gain": False}
    assert not decays(params, ["kern*"])["kernel"]


def test_frozen_parameters_stay_and_count_in_no_norm() -> None:
    config = replace(CONFIG, frozen=("query.*",))
    found = moved(config)
    jax.tree.map(np.testing.assert_array_equal, found["query"], PARAMS["query"])
    near(found["out"], moved(CONFIG, {"out": PARAMS["out"]})["out"])
    assert len(jax.tree.leaves(init_optimizer(PARAMS, config))) < len(
        jax.tree.leaves(init_optimizer(PARAMS, CONFIG))
    )


def test_a_rate_of_ones_own_multiplies_the_update() -> None:
    both = {"rate_patterns": ("query.*", "*.kernel"), "rate_factors": (0.0, 0.5)}
    found = moved(replace(CONFIG, **both), steps=1)
    jax.tree.map(np.testing.assert_array_equal, found["query"], PARAMS["query"])
    whole = moved(CONFIG, steps=1)["out"]["kernel"] - PARAMS["out"]["kernel"]
    near(found["out"]["kernel"] - PARAMS["out"]["kernel"], 0.5 * whole)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"frozen": ("quary.*",)}, "train.frozen has 'quary.*': no parameter has such a name; one is 'query"),
        ({"undecayed": ("x",)}, "train.undecayed has 'x': no parameter has such a name"),
        ({"frozen": ("*",)}, "train.frozen is *: nothing is left to train"),
    ],
)
def test_patterns_that_choose_nothing_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        require_matches(TrainConfig(**fields), PARAMS)
    assert message in str(caught.value)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_moments_are_at_least_float32_and_parameters_keep_their_dtype(dtype: jnp.dtype) -> None:
    params = {"w": jnp.ones((2, 2), dtype)}
    hyper, state = hyperparameters(CONFIG), init_optimizer(params, CONFIG)
    assert {x.dtype for x in jax.tree.leaves(state) if x.ndim} == {jnp.dtype(jnp.float32)}
    new, new_state = update_params(params, params, state, hyper, hyper["learning_rate"], CONFIG)
    assert new["w"].dtype == dtype
    assert [x.dtype for x in jax.tree.leaves(new_state)] == [x.dtype for x in jax.tree.leaves(state)]


def test_rates_fall_from_block_to_block() -> None:
    """β^(L + 1 - d): the head has the whole rate, the embedding the least."""
    params = {
        "embedding": {"tokens": jnp.ones((2, 2))},
        "blocks": {0: {"kernel": jnp.ones((2, 2))}, 1: {"kernel": jnp.ones((2, 2))}},
        "norm": {"scale": jnp.ones(2)},
    }
    config = replace(
        CONFIG, layer_decay=0.5, rate_patterns=("norm.*",), rate_factors=(0.1,), weight_decay=0.0
    )
    found = moved(config, params, steps=1)
    once = moved(replace(CONFIG, weight_decay=0.0), params, steps=1)
    factors = {"embedding": 1 / 8, "norm": 0.1}
    for name, factor in factors.items():
        change, whole = (jax.tree.leaves(x[name])[0] - 1 for x in (found, once))
        near(change, factor * whole)
    for i, factor in enumerate((1 / 4, 1 / 2)):
        change, whole = (x["blocks"][i]["kernel"] - 1 for x in (found, once))
        near(change, factor * whole)
