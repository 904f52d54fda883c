"""Mixtures of experts against their formula, token by token."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.models import LanguageModel, LanguageModelConfig
from attnjax.nn import MixtureOfExperts

E, D, F = 5, 4, 6


def literal(layer: MixtureOfExperts, x: np.ndarray) -> np.ndarray:
    def array(of: object) -> np.ndarray:
        return np.asarray(of[...], np.float64)

    def expert(e: int, token: np.ndarray) -> np.ndarray:
        gate, up = (token @ array(part.kernel)[e] + array(part.bias)[e] for part in (layer.gate, layer.up))
        return (gate / (1 + np.exp(-gate)) * up) @ array(layer.down.kernel)[e] + array(layer.down.bias)[e]

    rows = []
    for token in x.reshape(-1, D):
        scores = token @ array(layer.router.kernel) + array(layer.router.bias)
        best = np.argsort(-scores)[: layer.active]
        weights = np.exp(scores[best]) / np.exp(scores[best]).sum()
        rows.append(sum(w * expert(e, token) for w, e in zip(weights, best, strict=True)))
    return np.stack(rows).reshape(x.shape)


def made(active: int) -> MixtureOfExperts:
    layer = MixtureOfExperts(D, F, experts=E, active=active, bias=True, rngs=nnx.Rngs(0))
    for i, bias in enumerate((layer.router.bias, layer.up.bias, layer.gate.bias, layer.down.bias)):
        bias[...] = jax.random.normal(jax.random.key(i), bias.shape)
    return layer


@pytest.mark.parametrize(("tokens", "active"), [(1, 2), (9, 2), (9, 1), (9, E)])
def test_it_is_its_formula(tokens: int, active: int) -> None:
    """Of few rows each takes its own matrices, many are sorted by expert."""
    layer, x = made(active), np.random.default_rng(0).normal(size=(tokens, D)).astype(np.float32)
    np.testing.assert_allclose(jax.jit(layer)(jnp.asarray(x)), literal(layer, x), rtol=1e-5, atol=1e-5)


def test_both_ways_have_the_same_gradients() -> None:
    layer, x = made(2), jax.random.normal(jax.random.key(0), (2, D))
    graph, state = nnx.split(layer)

    def loss(state: nnx.State, x: jax.Array) -> jax.Array:
        return (nnx.merge(graph, state)(x) ** 2).sum()

    gradient = jax.jit(jax.grad(loss, (0, 1)))
    few, many = gradient(state, x), gradient(state, jnp.concatenate([x, x]))
    for one, two in zip(jax.tree.leaves(few[0]), jax.tree.leaves(many[0]), strict=True):
        np.testing.assert_allclose(2 * one, two, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(few[1], many[1][:2], rtol=1e-5, atol=1e-5)


def test_a_model_has_it_in_every_block() -> None:
    """Decoding takes the way of few rows, the whole that of many."""
    config = LanguageModelConfig(
        dim=8, heads=2, layers=1, experts=3, active_experts=2, hidden=4, activation="swiglu", norm="rms"
    )
    model = LanguageModel(config, vocab=7, rngs=nnx.Rngs(0))
    kernel = model.blocks[0].feed_forward.up.kernel
    assert (kernel.shape, kernel.get_metadata("axes")) == ((3, 8, 4), ("experts", "embed", "mlp"))
    tokens = jnp.arange(5)[None]

    @jax.jit
    def both(state: nnx.State) -> tuple[jax.Array, jax.Array]:
        made = nnx.merge(graph, state)
        cache = made(tokens[:, :4], cache=made.init_cache(1, 5)).cache
        return made(tokens[:, 4:], cache=cache).logits, made(tokens).logits[:, 4:]

    graph, state = nnx.split(model)
    step, whole = both(state)
    np.testing.assert_allclose(step, whole, atol=1e-5)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="active 4 of 3 experts: expected 1 or more"):
        MixtureOfExperts(D, F, experts=3, active=4, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="activation 'mish'"):
        MixtureOfExperts(D, F, experts=3, active=1, activation="mish", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"model.active_experts is 4: it must be no more than model.experts"):
        LanguageModelConfig(experts=3, active_experts=4)
