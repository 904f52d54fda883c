"""How a mixture chooses experts, against the rule written out token by token, and the expert for all."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.models import LanguageModel
from attnjax.models.hybrid_config import HybridConfig
from attnjax.nn import ExpertRouting, MixtureOfExperts

E, K = 8, 3
SCORES = np.random.default_rng(0).normal(size=(20, E))
CORRECTION = np.random.default_rng(1).normal(size=E)


def literal(rule: ExpertRouting, scores: np.ndarray, correction: np.ndarray | None) -> np.ndarray:
    """The weights of all experts of a token, 0 of those that it does not choose."""
    shares = np.exp(scores) / np.exp(scores).sum() if rule.score == "softmax" else 1 / (1 + np.exp(-scores))
    order = shares if correction is None else shares + correction
    size = E // rule.groups
    best = sorted(range(rule.groups), key=lambda g: -sum(sorted(order[g * size : (g + 1) * size])[-2:]))
    among = [g * size + i for g in best[: rule.active_groups] for i in range(size)]
    chosen = sorted(among, key=lambda e: -order[e])[:K]
    weights = np.zeros(E)
    weights[chosen] = shares[chosen]
    return rule.scale * (weights / weights.sum() if rule.sums_to_one else weights)


def test_it_is_its_rule() -> None:
    """All settings together, in one program: a rule is a constant of it."""
    rules = [
        ExpertRouting(score, sums, 2.5, groups, active, corrected)
        for score, sums, (groups, active), corrected in itertools.product(
            ("softmax", "sigmoid"), (True, False), ((1, 1), (4, 2), (2, 1)), (True, False)
        )
    ]

    @jax.jit
    def all_of(scores: jax.Array, correction: jax.Array) -> list[jax.Array]:
        found = []
        for rule in rules:
            weights, chosen = rule(scores, correction if rule.corrected else None, active=K)
            found.append(jnp.zeros_like(scores).at[jnp.arange(len(scores))[:, None], chosen].set(weights))
        return found

    for rule, found in zip(rules, all_of(jnp.asarray(SCORES), jnp.asarray(CORRECTION)), strict=True):
        expected = [literal(rule, row, CORRECTION if rule.corrected else None) for row in SCORES]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6, err_msg=str(rule))


def test_the_expert_for_all_adds_what_it_gives() -> None:
    made = {"experts": 4, "active": 2, "rngs": nnx.Rngs(0)}
    gated = MixtureOfExperts(4, 6, shared=5, shared_gate=True, **made)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(7, 4)), jnp.float32)
    gated.shared_gate[...] = jnp.arange(4.0) - 1.5
    both, shared = gated(x), gated.shared(x)
    share = jax.nn.sigmoid(x @ gated.shared_gate[...])[:, None]
    gated.shared_gate = None
    np.testing.assert_allclose(gated(x) - both, (1 - share) * shared, rtol=1e-4, atol=1e-5)
    gated.shared = None
    np.testing.assert_allclose(both - gated(x), share * shared, rtol=1e-4, atol=1e-5)


def test_a_correction_gets_no_gradient() -> None:
    layer = MixtureOfExperts(
        4, 6, experts=E, active=2, routing=ExpertRouting("sigmoid", corrected=True), rngs=nnx.Rngs(0)
    )
    gradient = nnx.grad(lambda layer: (layer(jnp.ones((3, 4))) ** 2).sum())(layer)
    assert not np.asarray(gradient["correction"][...]).any()
    assert np.asarray(gradient["router"]["kernel"][...]).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score": "tanh"}, "score 'tanh': expected one of softmax, sigmoid"),
        ({"scale": 0.0}, "scale 0.0: expected a number above 0"),
        ({"groups": 2, "active_groups": 3}, "active_groups 3 of groups 2: expected 1 or more"),
    ],
)
def test_what_is_no_rule_is_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        ExpertRouting(**options)


@pytest.mark.parametrize("groups", [3, 8, 4])
def test_experts_that_do_not_fit_the_groups_are_refused(groups) -> None:
    with pytest.raises(ValueError, match=f"groups {groups}, active_groups 1: expected equal groups of 8"):
        MixtureOfExperts(4, 6, experts=E, active=K, routing=ExpertRouting(groups=groups), rngs=nnx.Rngs(0))


def test_a_hybrid_decodes_what_it_says_of_all_at_once() -> None:
    """Latent attention, a recurrence and a mixture behind a dense layer, with a cache each."""
    config = HybridConfig(
        dim=8, heads=2, layers=2, hidden=8, value_dim=3, activation="swiglu", norm="rms", bias=False,
        positions="none", mechanism="kda + mla(kv_rank=4, rope_dim=2)", dense_layers=1,
        experts=4, expert_hidden=5, shared_hidden=6, shared_gate=True, router_score="sigmoid",
        recurrent_heads=4, recurrent_key_heads=2, recurrent_head_dim=6, recurrent_value_dim=5,
    )  # fmt: skip
    model = LanguageModel(config, vocab=7, rngs=nnx.Rngs(0))
    tokens = jnp.arange(6)[None]

    @jax.jit
    def both(state: nnx.State) -> tuple[jax.Array, jax.Array]:
        model = nnx.merge(graph, state)
        cache = model(tokens[:, :5], cache=model.init_cache(1, 6)).cache
        return model(tokens[:, 5:], cache=cache).logits, model(tokens).logits[:, 5:]

    graph, state = nnx.split(model)
    step, whole = both(state)
    np.testing.assert_allclose(step, whole, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dense_layers": 3}, "model.dense_layers is 3: it must be 0 or more, and no more than model.layers"),
        ({"shared_gate": True}, "model.shared_gate is True: it needs model.shared_hidden"),
        ({"router_scale": 0.0}, "model.router_scale is 0.0: it must be above 0"),
        ({"recurrent_heads": 0}, "model.recurrent_heads is 0: it must be a whole number"),
        ({"router_score": "top"}, "model.router_score is 'top': it must be one of softmax, sigmoid"),
    ],
)
def test_a_config_that_cannot_be_is_refused(settings, message) -> None:
    with pytest.raises(InputError, match=message):
        HybridConfig(**settings)
