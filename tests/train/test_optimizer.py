"""The optimiser equals optax's own AdamW chain, with hyperparameters that are not constants."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from attnjax.train.config import TrainConfig
from attnjax.train.optimizer import decays, hyperparameters, init_optimizer, schedule, update_params

CONFIG = TrainConfig(
    steps=20, warmup_steps=5, learning_rate=0.03, weight_decay=0.1, beta2=0.95, clip_norm=0.5
)


def test_updates_equal_a_hand_made_optax_chain() -> None:
    params = {"w": jnp.arange(6.0).reshape(2, 3), "bias": jnp.ones(3)}
    peer = optax.chain(
        optax.clip_by_global_norm(0.5),
        optax.adamw(
            optax.warmup_cosine_decay_schedule(0.0, 0.03, 5, 21), 0.9, 0.95, weight_decay=0.1, mask=decays
        ),
    )
    expected, peer_state = params, peer.init(params)
    _, peer_state = peer.update(
        jax.tree.map(jnp.zeros_like, params), peer_state, params
    )  # rate 0: its update 0
    hyper, state = hyperparameters(CONFIG), init_optimizer(params)
    _, state = update_params(params, jax.tree.map(jnp.zeros_like, params), state, hyper, jnp.zeros(()))
    for step in range(8):
        grads = jax.tree.map(lambda x, step=step: jnp.cos(x * (step + 1)), params)
        updates, peer_state = peer.update(grads, peer_state, expected)
        expected = optax.apply_updates(expected, updates)
        rate = hyper["learning_rate"] * schedule(jnp.asarray(step), CONFIG)
        params, state = update_params(params, grads, state, hyper, rate)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), params, expected)


def test_the_schedule_warms_up_and_never_stands_still() -> None:
    rates = np.array([schedule(jnp.asarray(step), CONFIG) for step in range(20)])
    np.testing.assert_allclose(rates[:5], np.arange(1, 6) / 5, rtol=1e-6)
    assert (np.diff(rates[4:]) < 0).all()
    assert rates[-1] > 0


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


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_moments_are_at_least_float32_and_parameters_keep_their_dtype(dtype: jnp.dtype) -> None:
    params = {"w": jnp.ones((2, 2), dtype)}
    hyper, state = hyperparameters(CONFIG), init_optimizer(params)
    assert {x.dtype for x in jax.tree.leaves(state) if x.ndim} == {jnp.dtype(jnp.float32)}
    new, new_state = update_params(params, params, state, hyper, hyper["learning_rate"])
    assert new["w"].dtype == dtype
    assert [x.dtype for x in jax.tree.leaves(new_state)] == [x.dtype for x in jax.tree.leaves(state)]
