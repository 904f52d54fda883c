"""Attributions of BERT as captum, shap and lime compute them, on the same weights."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.explain import Question, Target, ask, attribute, of_masks
from attnjax.explain.adapters import CaptumStyle
from attnjax.explain.attributions import perturbation
from attnjax.explain.attributions.gradients import quadrature
from tests.explain.peers import CLASS, MASK, TOKENS, TOLERANCE, pair, same, value, words
from tests.pretrained.peers import Case, torch
from tests.pretrained.test_encoders import BERT

captum = pytest.importorskip("captum.attr", reason="captum is not installed (extra: oracles)")
approximation_parameters = pytest.importorskip(
    "captum.attr._utils.approximation_methods"
).approximation_parameters
shap = pytest.importorskip("shap", reason="shap is not installed (extra: oracles)")
lime_text = pytest.importorskip("lime.lime_text", reason="lime is not installed (extra: oracles)")

ROWS = np.array([TOKENS[0], [5, 2, 9, 0, 0]])
LENGTHS = np.array([5, 3])
PRESENT = np.arange(5) < LENGTHS[:, None]
STEPS = 5


@pytest.fixture(autouse=True)
def _single_precision(_double_precision: None) -> Iterator[None]:
    with jax.enable_x64(False):
        yield


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    with jax.enable_x64(False):
        case = Case("BertForSequenceClassification", BERT | {"num_labels": 3})
        return pair(case, tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def rows(bert: tuple[Any, Any]) -> Question:
    """The question about two texts, one of them padded."""
    with jax.enable_x64(False):
        return ask(bert[1], jnp.asarray(ROWS), lengths=jnp.asarray(LENGTHS), target=Target(CLASS))


@pytest.fixture(scope="module")
def text(bert: tuple[Any, Any]) -> Question:
    with jax.enable_x64(False):
        return ask(bert[1], jnp.asarray(TOKENS), target=Target(CLASS))


def of_vectors(theirs: Any) -> dict[str, Any]:
    """What captum's explainers of vectors [2, T, W] are given."""
    none = words(theirs)[torch.full(ROWS.shape, MASK)]
    return {"inputs": words(theirs)[torch.tensor(ROWS)], "baselines": none, "target": CLASS}


def reads(theirs: Any) -> Any:
    """The logits of vectors, as a function that may read several times as many rows."""

    def run(vectors: Any) -> Any:
        mask = torch.tensor(PRESENT[:, : vectors.shape[1]]).repeat(len(vectors) // len(PRESENT), 1)
        return theirs(inputs_embeds=vectors, attention_mask=mask.long()).logits

    return run


def each_token(vectors: Any) -> Any:
    """captum's mask of features: a token is one."""
    return torch.arange(vectors.shape[1])[None, :, None].repeat(1, 1, vectors.shape[2])


RULES = {"gauss_legendre": "gausslegendre"} | {
    rule: f"riemann_{rule}" for rule in ("left", "right", "middle", "trapezoid")
}


def test_the_rules_of_integration() -> None:
    """A trapezoid's weights sum to (n - 1)/n in captum, and to 1 here."""
    for rule, name in RULES.items():
        weights, places = (of(STEPS) for of in approximation_parameters(name))
        found = quadrature(STEPS, rule)
        np.testing.assert_allclose(found[0], places, atol=1e-6)
        total = (STEPS - 1) / STEPS if rule == "trapezoid" else 1
        np.testing.assert_allclose(found[1] * total, weights, atol=1e-6)
    assert len({(*map(tuple, quadrature(STEPS, rule)),) for rule in RULES}) == len(RULES)


def test_integrated_gradients_and_their_delta(bert: tuple[Any, Any]) -> None:
    theirs, ours = bert
    explainer = captum.LayerIntegratedGradients(
        lambda tokens, mask: theirs(tokens, attention_mask=mask).logits,
        theirs.bert.embeddings.word_embeddings,
    )
    parts, delta = explainer.attribute(
        torch.tensor(ROWS),
        torch.full(ROWS.shape, MASK),
        target=CLASS,
        additional_forward_args=(torch.tensor(PRESENT).long(),),
        n_steps=STEPS,
        return_convergence_delta=True,
    )
    expected = parts.sum(-1).detach().numpy()

    def adapted(baseline: int) -> Any:
        return CaptumStyle("integrated_gradients", ours).attribute(
            jnp.asarray(ROWS), baseline, CLASS, STEPS, return_convergence_delta=True, lengths=LENGTHS
        )

    scores, error = adapted(MASK)
    assert same(scores, expected)
    np.testing.assert_allclose(error, delta.detach(), atol=TOLERANCE * np.abs(expected).max())
    assert delta.abs().max() > 10 * TOLERANCE * np.abs(expected).max()
    assert not same(adapted(MASK + 1)[0], expected)


def test_gradients_times_the_input(bert: tuple[Any, Any], rows: Question) -> None:
    theirs, _ = bert
    given = of_vectors(theirs)
    del given["baselines"]
    expected = captum.InputXGradient(reads(theirs)).attribute(**given).sum(-1).detach()
    assert same(attribute("gradient_x_input", rows).scores, expected)
    assert not same(attribute("gradient_x_input", rows.with_target(Target(2))).scores, expected)


@pytest.mark.slow
def test_occlusion_of_a_token_at_a_time(bert: tuple[Any, Any], rows: Question) -> None:
    theirs, _ = bert
    given = of_vectors(theirs)
    window = (1, given["inputs"].shape[-1])
    occluded = captum.Occlusion(reads(theirs)).attribute(**given, sliding_window_shapes=window)[..., 0]
    ablated = captum.FeatureAblation(reads(theirs)).attribute(
        **given, feature_mask=each_token(given["inputs"])
    )[..., 0]
    found = attribute("occlusion", rows, baseline=MASK).scores
    assert same(found, occluded.detach())
    assert same(found, ablated.detach())
    assert not same(attribute("occlusion", rows, baseline=MASK + 1).scores, occluded.detach())


def drawn(monkeypatch: pytest.MonkeyPatch, method: Any, question: Question, **options: Any) -> Any:
    """The scores of a method, and the coalitions [M, T] that it draws."""
    asked: list[Any] = []
    values_of = perturbation.values_of

    def recorded(question: Question, kept: Any, *rest: Any) -> Any:
        asked.append(kept[:, 0])
        return values_of(question, kept, *rest)

    monkeypatch.setattr(perturbation, "values_of", recorded)
    found = jax.jit(lambda question: (method(question, baseline=MASK, **options), asked[-1]))(question)
    return found[0], np.asarray(found[1])


@pytest.mark.slow
def test_kernel_shap_of_drawn_coalitions(
    bert: tuple[Any, Any], text: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    """captum gives the full and the empty coalition a weight of a million; here they hold exactly."""
    theirs, _ = bert
    found, coalitions = drawn(monkeypatch, perturbation.kernel_shap, text, samples=20, seed=3)
    assert 5 < len(np.unique(coalitions, axis=0)) < 2**5 - 2

    class Given(captum.KernelShap):  # type: ignore[misc]
        def kernel_shap_perturb_generator(self, original_inp: Any, **_: Any) -> Iterator[Any]:
            both_ends = np.ones((1, 5), bool), np.zeros((1, 5), bool)
            yield from torch.tensor(np.concatenate([*both_ends, coalitions]))[:, None].long()

    vectors = words(theirs)[torch.tensor(TOKENS)]
    given = {
        "inputs": vectors,
        "baselines": words(theirs)[torch.full(TOKENS.shape, MASK)],
        "target": CLASS,
        "feature_mask": each_token(vectors),
    }
    explainer = Given(lambda vectors: theirs(inputs_embeds=vectors).logits)
    expected = explainer.attribute(**given, n_samples=2 + len(coalitions))[..., 0]
    assert same(found.scores, expected.detach())
    fewer = explainer.attribute(**given, n_samples=len(coalitions) - 6)[..., 0]
    assert not same(found.scores, fewer.detach())


def of_coalitions(theirs: Any) -> Any:
    """The number with the tokens that are left in, as shap asks for it."""
    vectors, none = (words(theirs)[torch.tensor(x)] for x in (TOKENS, np.full(TOKENS.shape, MASK)))

    def f(kept: Any) -> Any:
        with torch.no_grad():
            return value(theirs, torch.where(torch.tensor(kept).bool()[..., None], vectors, none)).numpy()

    return f


NONE, ALL = np.zeros((1, 5)), np.ones((1, 5))


def test_kernel_shap_of_all_coalitions(bert: tuple[Any, Any], text: Question) -> None:
    """shap has fewer than it would draw, and asks each once."""
    expected = shap.KernelExplainer(of_coalitions(bert[0]), NONE).shap_values(ALL, silent=True)
    assert same(attribute("kernel_shap", text, baseline=MASK).scores, expected)
    assert not same(attribute("kernel_shap", text, baseline=MASK + 1).scores, expected)
    adapted = shap.KernelExplainer(of_masks(text, MASK), NONE).shap_values(ALL, silent=True)
    assert same(adapted, expected)


@pytest.mark.slow
def test_exact_shapley_values(bert: tuple[Any, Any], text: Question) -> None:
    """captum's means over all orders, and shap's over all coalitions."""
    theirs, _ = bert
    vectors = words(theirs)[torch.tensor(TOKENS)]
    by_order = captum.ShapleyValues(lambda vectors: theirs(inputs_embeds=vectors).logits).attribute(
        vectors,
        words(theirs)[torch.full(TOKENS.shape, MASK)],
        target=CLASS,
        feature_mask=each_token(vectors),
        perturbations_per_eval=5,
    )[..., 0]
    enumerated = shap.explainers.Exact(of_coalitions(theirs), shap.maskers.Independent(NONE))(ALL).values
    found = attribute("shapley", text, baseline=MASK).scores
    assert same(found, by_order.detach())
    assert same(found, enumerated)
    assert not same(attribute("shapley", text, baseline=MASK + 1).scores, enumerated)


def test_lime_of_drawn_texts(bert: tuple[Any, Any], text: Question, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its explainer of texts, which finds in the place of its random numbers what ours drew."""
    theirs, _ = bert
    found, kept = drawn(monkeypatch, perturbation.lime, text, samples=40)
    left_out = [np.flatnonzero(~row) for row in kept[1:]]

    def classify(texts: list[str]) -> np.ndarray:
        ids = [[int(word[1:]) for word in text.split()] for text in texts]
        with torch.no_grad():
            return theirs(torch.tensor(ids)).logits.numpy()

    sentence = " ".join(f"w{token}" for token in TOKENS[0])

    def told(**options: Any) -> Any:
        sets = iter(left_out)
        explainer = lime_text.LimeTextExplainer(
            bow=False, mask_string=f"w{MASK}", feature_selection="none", **options
        )
        explainer.random_state = SimpleNamespace(
            randint=lambda *_: [len(row) for row in left_out], choice=lambda *_, **options: next(sets)
        )
        return explainer.explain_instance(
            sentence, classify, labels=(CLASS,), num_features=5, num_samples=len(kept)
        )

    def weights(explanation: Any) -> list[list[float]]:
        return [[weight for _, weight in sorted(explanation.local_exp[CLASS])]]

    expected = told()
    assert same(found.scores, weights(expected))
    np.testing.assert_allclose(found.extra["intercept"], expected.intercept[CLASS], rtol=TOLERANCE)
    assert not same(found.scores, weights(told(kernel_width=20)))
