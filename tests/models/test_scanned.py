"""Layers in one loop: the numbers of layers one by one, in a program that does not grow with their count."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.models import (
    Encoder,
    EncoderConfig,
    LanguageModel,
    LanguageModelConfig,
    Transformer,
    TransformerConfig,
    VisionConfig,
    VisionTransformer,
    in_int8,
)
from attnjax.nn import Capture, Dropout, Taps, logical_axes
from attnjax.nn.layer_names import one_by_one
from attnjax.nn.penalty import penalty
from attnjax.nn.stacked import unstacked
from attnjax.nn.training import in_training
from attnjax.pretrained import from_pretrained, save_pretrained
from attnjax.tasks.beginning import flat
from tests.daily import daily

TOKENS = jax.random.randint(jax.random.key(2), (2, 7), 0, 11)
LENGTHS = jnp.array([7, 4])
WIDE: dict[str, Any] = {"dtype": "float64", "param_dtype": "float64"}
SMALL: dict[str, Any] = {"dim": 8, "heads": 2, "hidden": 12}


def language_model(**fields: Any) -> LanguageModel:
    config = LanguageModelConfig(**{**SMALL, "layers": 3, **fields})
    return LanguageModel(config, vocab=11, rngs=nnx.Rngs(0))


def transformer(**fields: Any) -> Transformer:
    config = TransformerConfig(**SMALL, encoder_layers=2, decoder_layers=2, **fields)
    return Transformer(config, source_vocab=11, target_vocab=11, rngs=nnx.Rngs(0))


def encoder(**fields: Any) -> Encoder:
    config = EncoderConfig(**SMALL, layers=4, distinct_layers=2, head="labels", **fields)
    return Encoder(config, vocab=11, rngs=nnx.Rngs(0))


def vision(**fields: Any) -> VisionTransformer:
    config = VisionConfig(**SMALL, layers=2, image=8, patch=4, labels=3, **fields)
    return VisionTransformer(config, rngs=nnx.Rngs(0))


MODELS: dict[str, Any] = {
    "language model": (language_model, {}),
    "alibi, remat": (language_model, {"positions": "alibi", "remat": True}),
    "periods and a rest": (language_model, {"mechanism": "window(size=2)+softmax", "layers": 5}),
    "states": (language_model, {"mechanism": "gla", "layers": 2}),
    "losses, remat": (language_model, {"mechanism": "mixture_of_heads", "remat": True, "layers": 2}),
    "experts": (language_model, {"experts": 2, "convolution": 2}),
    "transformer": (transformer, {"positions": "t5"}),
    "transformer, remat": (transformer, {"remat": True}),
    "encoder that shares": (encoder, {}),
    "vision": (vision, {"layer_scale": 0.1}),
}


def logits_of(model: Any, **options: Any) -> jax.Array:
    match model:
        case Transformer():
            return model(TOKENS, LENGTHS, TOKENS, **options).logits
        case VisionTransformer():
            return model(jnp.linspace(0, 1, 2 * 8 * 8 * 3).reshape(2, 8, 8, 3), **options).logits
        case _:
            return model(TOKENS, lengths=LENGTHS, **options).logits


def cost(graph: Any, params: Any) -> tuple[jax.Array, jax.Array]:
    """A sum over what a model gives in training, with what its layers leave; and the logits."""
    with in_training() as losses:
        logits = logits_of(nnx.merge(graph, params), dropout=Dropout(0.2, jax.random.key(3)))
    return jnp.sum(jnp.sin(logits)) + sum(losses), logits


@pytest.mark.parametrize("name", daily(MODELS, ["periods and a rest", "losses, remat"]))
def test_logits_and_gradients_are_those_of_layers_one_by_one(name: str) -> None:
    build, fields = MODELS[name]
    with jax.enable_x64(True):
        found = {}
        for scan in (False, True):
            graph, params = nnx.split(build(**fields, **WIDE, scan_layers=scan))
            slope = jax.value_and_grad(lambda params, graph=graph: cost(graph, params), has_aux=True)
            traced = jax.jit(slope).trace(params)
            assert ("scan[" in str(traced.jaxpr).replace(" ", "")) or not scan
            (value, logits), slopes = traced.lower().compile()(params)
            found[scan] = value, logits, one_by_one(flat(nnx.to_pure_dict(slopes)))
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12), found[True], found[False]
        )


def test_parameters_begin_as_those_of_layers_one_by_one() -> None:
    plain, model = transformer(), transformer(scan_layers=True)
    found, expected, again = (flat(nnx.to_pure_dict(nnx.state(m))) for m in (model, plain, unstacked(model)))
    for own in (one_by_one(found), again):
        assert own.keys() == expected.keys()
        jax.tree.map(np.testing.assert_array_equal, own, expected)
    axes = logical_axes(model)["encoder"]["0:2"]["attention"]["query"]["kernel"]
    assert axes == ("layers", "embed", "heads", "head_dim")
    assert model.encoder[-1].attention.query.kernel.get_metadata("axes") == axes[1:]
    np.testing.assert_array_equal(
        model.encoder[-1].attention.out.kernel[...], plain.encoder[1].attention.out.kernel[...]
    )
    np.testing.assert_allclose(*(nnx.jit(logits_of)(m) for m in (model, plain)), rtol=1e-5, atol=1e-5)


def test_the_cost_of_parameters_is_that_of_layers_one_by_one() -> None:
    fields = {"mechanism": "adaptive_span(start=16.0, cost=0.5)"}
    found = [float(penalty(language_model(**fields, scan_layers=scan))) for scan in (False, True)]
    assert found == pytest.approx([24.0, 24.0])


def test_what_is_in_int8_and_for_others_has_lists_of_layers(tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "layers": 2,
        "norm": "rms",
        "bias": False,
        "positions": "rope",
        "activation": "swiglu",
        "embedding_scale": 1.0,
    }
    plain, model = language_model(**fields), language_model(**fields, scan_layers=True)
    save_pretrained(model, tmp_path, family="llama")
    loaded: Any = from_pretrained(tmp_path)
    read, expected, small, of_plain = nnx.jit(lambda *models: [m(TOKENS).logits for m in models])(
        loaded, plain, in_int8(model), in_int8(plain)
    )
    np.testing.assert_allclose(read, expected, atol=1e-5)
    np.testing.assert_allclose(small, of_plain, atol=1e-5)


def test_a_loop_carries_half_precision() -> None:
    model = language_model(layers=2, dtype="bfloat16", scan_layers=True)
    assert jax.eval_shape(lambda: logits_of(model, dropout=Dropout(0.2, jax.random.key(3)))).shape[-1] == 11


@pytest.mark.slow
def test_half_precision_too() -> None:
    found = [
        nnx.jit(logits_of)(
            language_model(layers=2, dtype="bfloat16", scan_layers=scan),
            dropout=Dropout(0.2, jax.random.key(3)),
        )
        for scan in (False, True)
    ]
    np.testing.assert_allclose(*found, atol=0.05)


def test_the_program_does_not_grow_with_the_layers() -> None:
    def products(layers: int, scan: bool) -> int:
        graph, params = nnx.split(nnx.eval_shape(lambda: language_model(layers=layers, scan_layers=scan)))
        return str(jax.make_jaxpr(lambda params: logits_of(nnx.merge(graph, params)))(params)).count(
            "dot_general["
        )

    one = products(1, False)
    assert products(8, True) == products(2, True) == one
    assert products(8, False) > 4 * one


def test_caches_and_captures_go_one_by_one() -> None:
    model, plain = language_model(layers=2, scan_layers=True), language_model(layers=2)
    for capture in (Capture(), Taps(("blocks.1.residual",))):
        own, other = (m(TOKENS, capture=capture) for m in (model, plain))
        jax.tree.map(np.testing.assert_array_equal, own, other)
        assert own.weights or own.taps
    cache = model(TOKENS, cache=model.init_cache(2, 8)).cache
    assert cache is not None
    assert cache.length.tolist() == [7, 7]


def test_what_cannot_be_a_loop_is_refused() -> None:
    with pytest.raises(InputError, match=r"model\.scan_layers is True: value_residual reads what the layers"):
        language_model(mechanism="value_residual", scan_layers=True)
    with pytest.raises(InputError, match=r"model\.scan_layers is True: it needs residual sum"):
        replace(LanguageModelConfig(**SMALL), residual="attention", scan_layers=True)
    with pytest.raises(InputError, match=r"model\.scan_layers is True: copy reads the weights"):
        TransformerConfig(**SMALL, copy=True, scan_layers=True)
    with pytest.raises(ValueError, match=r"model\.scan_layers is True: none of the 2 blocks repeats"):
        logits_of(language_model(mechanism="gla+softmax", layers=2, scan_layers=True))
    assert logits_of(language_model(layers=1, scan_layers=True)).shape == (2, 7, 11)
