"""Every method on a tiny model: by its literal definition, compiled once, with nothing for padding."""

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.explain import (
    METHODS,
    Question,
    Taps,
    Target,
    ablate_heads,
    ask,
    attribute,
    logit_lens,
    of_masks,
    patch,
    patch_paths,
)
from attnjax.explain.attributions.attention import max_flow, rolled, with_residual
from attnjax.explain.attributions.perturbation import _ridge
from attnjax.models import (
    Encoder,
    EncoderConfig,
    LanguageModel,
    LanguageModelConfig,
    RecurrentConfig,
    RecurrentEncoderDecoder,
    VisionConfig,
    VisionTransformer,
)
from attnjax.nn import Capture
from tests.daily import daily

LENGTHS = jnp.array([4, 3])
TOKENS = jnp.array([[3, 1, 4, 1], [2, 7, 1, 5]])
OPTIONS: dict[str, dict[str, Any]] = {
    "lime": {"samples": 30, "at_once": 64},
    "smooth_grad": {"samples": 2},
    "allennlp_smooth": {"samples": 2},
    "integrated_gradients": {"steps": 4, "baseline": jnp.int32(9)},
}


@pytest.fixture(scope="module")
def model() -> Encoder:
    config = EncoderConfig(dim=8, heads=2, layers=2, head="labels", labels=3)
    return Encoder(config, vocab=11, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def question(model: Encoder) -> Question:
    return ask(model, TOKENS, lengths=LENGTHS, target=Target(1))


@pytest.fixture(scope="module")
def inside(question: Question) -> dict[str, np.ndarray]:
    """The arrays of all sites."""
    return {path: np.asarray(x) for path, x in jax.jit(lambda asked: asked.read("*"))(question).items()}


COMPILED: list[str] = []
"""An entry for each program that XLA makes."""


@pytest.fixture(scope="module", autouse=True)
def _compilations() -> None:
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, _, **__: COMPILED.append(name) if name.endswith("backend_compile_duration") else None
    )


PROGRAMS = {"flow": 2}
"""Of a method, where they are not one: the largest flow is found on the host, between two."""


# The others are computed by the tests of their definitions, here or in `test_against_transformers`.
FORMS = ("rollout", "flow", "integrated_gradients", "occlusion", "lime")


@pytest.mark.parametrize("name", daily(METHODS, FORMS))
def test_a_method_is_one_program_and_padding_gets_no_credit(question: Question, name: str) -> None:
    """Other contents of the padding change no score, and compile nothing."""
    elsewhere = question.with_tokens(TOKENS.at[1, 3].set(8))
    COMPILED.clear()
    found = attribute(name, question, **OPTIONS.get(name, {}))
    assert len(COMPILED) == PROGRAMS.get(name, 1)
    other = attribute(name, elsewhere, **OPTIONS.get(name, {}))
    assert len(COMPILED) == PROGRAMS.get(name, 1)
    scores = np.asarray(found.scores)
    assert scores.shape == (2, 4)
    assert np.isfinite(scores).all()
    assert scores[1, 3] == 0
    assert (np.abs(scores[:, :3]) > 0).sum() >= 5
    np.testing.assert_allclose(other.scores, scores, atol=1e-6)
    assert found.order()[1].tolist() == sorted(range(3), key=lambda i: -scores[1, i])


def test_exact_shapley_values_are_means_over_all_orders(model: Encoder, question: Question) -> None:
    """And KernelSHAP of all coalitions gives them; one of a wrong kernel would not."""
    found = attribute("shapley", question)
    alone = ask(model, TOKENS[:1], target=Target(1))
    f = of_masks(alone)
    coalitions = list(itertools.product((0, 1), repeat=4))
    values = dict(zip(coalitions, f(coalitions), strict=True))
    expected = np.zeros(4)
    for order in itertools.permutations(range(4)):
        kept = [0, 0, 0, 0]
        for token in order:
            before = values[tuple(kept)]
            kept[token] = 1
            expected[token] += (values[tuple(kept)] - before) / math.factorial(4)
    np.testing.assert_allclose(found.scores[0], expected, atol=1e-5)
    np.testing.assert_allclose(attribute("kernel_shap", question).scores, found.scores, atol=1e-5)
    np.testing.assert_allclose(found.error, 0, atol=1e-5)
    leave = attribute("occlusion", question).scores[0]
    np.testing.assert_allclose(leave[0], values[1, 1, 1, 1] - values[0, 1, 1, 1], atol=1e-5)
    assert np.abs(np.asarray(leave) - expected).max() > 1e-3


def test_integrated_gradients_leave_an_error_that_falls_with_steps(question: Question) -> None:
    few = attribute("integrated_gradients", question, steps=4, baseline=jnp.int32(9))
    many = attribute("integrated_gradients", question, steps=32, baseline=jnp.int32(9))
    assert np.abs(many.error).max() < np.abs(few.error).max() / 4
    assert str(few).count("completeness error") == 2


def test_allennlps_smooth_gradient_is_not_times_the_input(question: Question) -> None:
    found = attribute("allennlp_smooth", question, samples=2)

    @jax.jit
    def literal(asked: Question) -> tuple[jax.Array, jax.Array]:
        x = asked.vectors()
        spread = [jnp.ptp(row[:n]) for row, n in zip(x, (4, 3), strict=True)]
        keys = jax.random.split(jax.random.key(0), 2)
        draws = [jax.random.normal(key, x.shape) * 0.01 * jnp.stack(spread)[:, None, None] for key in keys]

        def loss(x: jax.Array) -> jax.Array:
            logits = asked.run(Taps(write={asked.site: patch(x)})).logits
            return -jax.nn.log_softmax(logits)[:, 1].sum()

        mean = sum(jax.grad(loss)(x + draw) for draw in draws) / 2
        return mean.sum(-1), (mean * x).sum(-1)

    sums, times = (np.abs(x) / np.abs(x).sum(-1, keepdims=True) for x in literal(question))
    np.testing.assert_allclose(found.scores, sums, atol=1e-5)
    assert np.abs(found.scores - times).max() > 1e-3


def test_rollout_and_flow_by_their_definitions() -> None:
    """The largest flow is the smallest cut, of all cuts of a graph of nine nodes."""
    maps = np.random.default_rng(0).dirichlet(np.ones(3), (2, 1, 3))
    half = (maps + np.eye(3)) / 2
    np.testing.assert_allclose(with_residual(jnp.asarray(maps)), half, atol=1e-6)
    np.testing.assert_allclose(rolled(jnp.asarray(half))[0], half[1, 0] @ half[0, 0], atol=1e-6)
    reader = np.array([1.0, 0, 0])
    for token in range(3):
        nodes = [(level, i) for level in range(3) for i in range(3)]
        inner = [node for node in nodes if node != (0, token)]
        cuts = []
        for side in itertools.product((False, True), repeat=len(inner)):
            above = {node for node, on in zip(inner, side, strict=True) if on}
            cut = sum(reader[i] for i in range(3) if (2, i) not in above)
            cut += sum(
                half[level, 0, i, j]
                for level in range(2)
                for i in range(3)
                for j in range(3)
                if (level + 1, i) in above and (level, j) not in above
            )
            cuts.append(cut)
        assert max_flow(half[:, 0], reader, token) == pytest.approx(min(cuts), abs=1e-6)


def test_lime_fits_what_its_package_fits() -> None:
    """Ridge regression with sample weights and an intercept without penalty, as least squares in float64."""
    rng = np.random.default_rng(0)
    kept, kernel, values = rng.random((20, 3)) < 0.5, rng.random(20), rng.random(20)
    rows = np.concatenate([kept, np.ones((20, 1))], axis=1) * np.sqrt(kernel)[:, None]
    penalty = np.diag([1.0, 1, 1, 0])
    expected = np.linalg.lstsq(
        np.concatenate([rows, penalty]), np.append(np.sqrt(kernel) * values, np.zeros(4)), rcond=None
    )[0]
    found = _ridge(jnp.asarray(kept), jnp.asarray(kernel, jnp.float32), jnp.asarray(values, jnp.float32), 1.0)
    np.testing.assert_allclose(np.append(*found), expected, atol=1e-5)


def test_norms_of_what_values_add(model: Encoder, question: Question, inside: dict[str, np.ndarray]) -> None:
    weights, values = (inside[f"blocks.0.attention.{name}"] for name in ("weights", "values"))
    kernel = np.asarray(model.blocks[0].attention.out.kernel[...], np.float64)
    expected = np.zeros((2, 4, 4))
    for b, t, s in np.ndindex(expected.shape):
        added = sum(weights[b, n, t, s] * values[b, s, n] @ kernel[n] for n in range(2))
        expected[b, t, s] = np.linalg.norm(added)
    maps = attribute("norm_weighted", question).extra["maps"]
    np.testing.assert_allclose(maps[0], expected, atol=1e-5)


def test_value_zeroing_is_the_cosine_distance_of_a_blocks_result(
    model: Encoder, question: Question, inside: dict[str, np.ndarray]
) -> None:
    block, before, clean = model.blocks[1], inside["blocks.0.residual"], inside["blocks.1.residual"]
    weights, values = (inside[f"blocks.1.attention.{name}"] for name in ("weights", "values"))

    @jax.jit
    def result(heads: jax.Array) -> jax.Array:
        between = block.attention_residual.leave(before, block.attention.out(heads), None)
        change = block.feed_forward(block.feed_forward_residual.enter(between))
        return block.feed_forward_residual.leave(between, change, None)

    expected = np.zeros((2, 4, 4))
    for s in range(4):
        kept = values * (np.arange(4) != s)[:, None, None]
        out = np.asarray(result(jnp.einsum("bnts,bsnv->btnv", weights, kept)))
        cosine = (out * clean).sum(-1) / np.linalg.norm(out, axis=-1) / np.linalg.norm(clean, axis=-1)
        expected[:, :, s] = 1 - cosine
    expected /= expected.sum(-1, keepdims=True)
    maps = np.asarray(attribute("value_zeroing", question).extra["maps"][1])
    np.testing.assert_allclose(maps, expected, atol=1e-3)


def test_value_zeroing_of_values_that_hardly_matter_is_no_rounding() -> None:
    """1 - cos was negative there, and a row of such numbers, divided by their sum, not finite."""

    def maps(share: float) -> np.ndarray:
        config = EncoderConfig(dim=8, heads=2, layers=1, head="labels", labels=3)
        made = Encoder(config, vocab=11, rngs=nnx.Rngs(0))
        kernel = made.blocks[0].attention.out.kernel
        kernel[...] = kernel[...] * share
        asked = ask(made, TOKENS, lengths=LENGTHS, target=Target(1))
        return np.asarray(attribute("value_zeroing", asked).extra["maps"][0])

    assert (maps(1e-4) >= 0).all()
    np.testing.assert_allclose(maps(1e-4), maps(1e-2), atol=0.02)
    assert (maps(0.0) == 0).all()


def test_images_get_a_score_for_each_patch() -> None:
    config = VisionConfig(dim=8, heads=2, layers=1, image=4, patch=2, labels=3)
    asked = ask(VisionTransformer(config, rngs=nnx.Rngs(0)), jnp.ones((1, 4, 4, 3)), target=Target(1))
    assert attribute("raw", asked).scores.shape == (1, 4)


def asked(mechanism: str) -> Question:
    config = LanguageModelConfig(dim=8, heads=2, layers=1, mechanism=mechanism, positions="none")
    return ask(LanguageModel(config, vocab=11, rngs=nnx.Rngs(0)), TOKENS[:1], target=Target(3))


@pytest.mark.slow
def test_a_recurrence_has_attributions_too() -> None:
    assert (np.abs(attribute("chefer", asked("gla")).scores) > 0).sum() >= 3


def test_what_does_not_fit_a_mechanism_is_named() -> None:
    for mechanism in ("gdn2", "nsa"):
        with pytest.raises(
            InputError, match=r"method is 'rollout': it needs weights of attention, and blocks.0"
        ):
            attribute("rollout", asked(mechanism))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("integrated_gradient", {}, "there is none of this name; the nearest are integrated_gradients"),
        ("occlusion", {"steps": 3}, "steps is given: occlusion takes baseline, at_once"),
        ("integrated_gradients", {"steps": 0}, "steps is 0: expected 1 or more"),
        ("integrated_gradients", {"rule": "best"}, "rule is 'best': expected one of gauss_legendre"),
        ("raw", {"layer": 2}, "layer is 2: there are 2"),
        ("kernel_shap", {"samples": 1}, "samples is 1: expected 2 or more"),
    ],
)
def test_bad_requests_are_named(question: Question, name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        attribute(name, question, **options)


def test_bad_questions_are_named(model: Encoder) -> None:
    with pytest.raises(InputError, match=r"target.index is 3: there are 3 classes, from 0"):
        ask(model, TOKENS, target=Target(3))
    with pytest.raises(InputError, match=r"target.of is 'logits': expected one of logit"):
        Target(1, "logits")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"model is a Linear: expected one of Encoder"):
        ask(nnx.Linear(1, 1, rngs=nnx.Rngs(0)), TOKENS)
    headless = Encoder(EncoderConfig(dim=8, heads=2, layers=1), vocab=11, rngs=nnx.Rngs(0))
    with pytest.raises(InputError, match=r"model is a Encoder without a head"):
        ask(headless, TOKENS)
    long = ask(model, jnp.ones((1, 17), int), target=Target(1))
    with pytest.raises(InputError, match=r"tokens: 17 came, expected 16 at most; kernel_shap takes samples"):
        attribute("shapley", long)


def test_attention_says_nothing_where_a_mechanism_pools() -> None:
    config = EncoderConfig(dim=8, heads=2, layers=1, head="labels", pooling="pma")
    question = ask(Encoder(config, vocab=11, rngs=nnx.Rngs(0)), jnp.array([[3, 1, 4]]))
    with pytest.raises(InputError, match="the model pools by pma, which is no known mean"):
        attribute("rollout", question)
    assert attribute("gradient_x_input", question).scores.shape == (1, 3)


def test_a_recurrent_decoder_is_asked_as_a_transformer_is() -> None:
    """Its attention has one map; what is defined for layers of attention is refused."""
    model = RecurrentEncoderDecoder(
        RecurrentConfig(dim=8), source_vocab=11, target_vocab=11, rngs=nnx.Rngs(0)
    )
    question = ask(model, TOKENS, LENGTHS, TOKENS[:, :3], target=Target(4))
    weights = model(TOKENS, LENGTHS, TOKENS[:, :3], capture=Capture()).weights["decoder.cross_attention"]
    np.testing.assert_array_equal(attribute("raw", question).scores, weights[:, 0, -1])
    without = model(TOKENS.at[:, 1].set(9), LENGTHS, TOKENS[:, :3]).logits[:, -1, 4]
    lost = attribute("occlusion", question, baseline=jnp.int32(9)).scores[:, 1]
    np.testing.assert_allclose(lost, question.value() - without, atol=1e-6)
    assert ablate_heads(question).shape == (1, 1, 2)
    for refused, told in (
        (lambda: attribute("chefer", question), "method is 'chefer': it is defined for layers of attention"),
        (lambda: logit_lens(question), "a recurrent network has no residual stream"),
        (lambda: patch_paths(question, question), "a recurrent network has no heads above each other"),
    ):
        with pytest.raises(InputError, match=told):
            refused()
