"""Models laid out for decoding give what they gave; a step copies no cache."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.models import (
    LanguageModel,
    LanguageModelConfig,
    Transformer,
    TransformerConfig,
    for_decoding,
    generate,
)
from attnjax.models.decoding.generate import _Run
from attnjax.models.decoding.loop import proceed
from attnjax.models.decoding.weights import OutputFirst
from tests.daily import daily


@pytest.mark.parametrize(
    "fields",
    [
        {"activation": "swiglu", "bias": False, "kv_heads": 1},
        {"mechanism": "gla", "dtype": "bfloat16", "tie_embeddings": True},
    ],
    ids=str,
)
def test_the_model_is_the_same(fields: dict[str, Any]) -> None:
    model = LanguageModel(LanguageModelConfig(dim=8, heads=2, layers=1, **fields), vocab=11, rngs=nnx.Rngs(0))
    quick = for_decoding(model)
    tokens = jnp.arange(12).reshape(2, 6) % 11
    run = nnx.jit(lambda model: model(tokens).logits)
    np.testing.assert_allclose(run(quick), run(model), atol=0.02 if "dtype" in fields else 1e-5)
    assert not [m for _, m in nnx.iter_modules(quick) if isinstance(m, nnx.Linear | nnx.LinearGeneral)]
    assert [m for _, m in nnx.iter_modules(model) if isinstance(m, nnx.Linear | nnx.LinearGeneral)]
    assert isinstance(quick.blocks[0].feed_forward.up, OutputFirst)


def test_an_encoder_decoder_writes_the_same() -> None:
    config = TransformerConfig(dim=8, heads=2, encoder_layers=1, decoder_layers=1)
    model = Transformer(config, source_vocab=13, target_vocab=7, rngs=nnx.Rngs(0))
    source, lengths = jax.random.randint(jax.random.key(0), (3, 5), 3, 13), jnp.array([5, 1, 3])
    options = {"bos": 1, "eos": 2, "pad": 0, "max_length": 4}
    given = generate(for_decoding(model), source, lengths, **options)
    np.testing.assert_array_equal(given.tokens, generate(model, source, lengths, **options).tokens)


def test_a_layer_in_two_places_stays_one() -> None:
    model = nnx.Dict(one=nnx.Dict(inner=nnx.Linear(3, 3, rngs=nnx.Rngs(0))), other=nnx.Dict())
    model["other"]["inner"] = model["one"]["inner"]
    quick = for_decoding(model, used_up=True)
    assert quick["one"]["inner"] is quick["other"]["inner"]


def test_a_model_that_is_used_up_is_let_go_of() -> None:
    config = LanguageModelConfig(dim=8, heads=2, layers=1)
    model, tokens = LanguageModel(config, vocab=11, rngs=nnx.Rngs(0)), jnp.arange(6)[None]
    expected = model(tokens).logits
    kernels = [
        m.kernel[...] for _, m in nnx.iter_modules(model) if isinstance(m, nnx.Linear | nnx.LinearGeneral)
    ]
    quick = for_decoding(model, used_up=True)
    assert kernels
    assert all(kernel.is_deleted() for kernel in kernels)
    np.testing.assert_allclose(quick(tokens).logits, expected, atol=1e-5)


@pytest.mark.optimised
def test_a_step_in_bfloat16_holds_no_table_transposed() -> None:
    """The program of the loop converts the table of a tied embedding, and lays it out once."""
    fields = {"dtype": "bfloat16", "param_dtype": "bfloat16", "tie_embeddings": True}
    model = LanguageModel(LanguageModelConfig(dim=32, layers=1, **fields), vocab=43, rngs=nnx.Rngs(0))
    inputs, lengths = jnp.ones((1, 5), int), jnp.full(1, 5)
    run = _Run(model, inputs, lengths, None, None, [], 0, 20, "right", None)
    state = run._begun(inputs, lengths, None)
    text = proceed.lower(*run.split, run.strategy, state, run.marks, jnp.int32(20)).compile().as_text()
    assert "f32[43,32]" in text
    assert [line for line in text.splitlines() if "= f32[32,43]" in line and " bitcast(" not in line] == []


@pytest.mark.optimised
@pytest.mark.parametrize("rows", daily([1, 3], [3]))
def test_a_step_copies_no_cache(rows: int) -> None:
    """In the program of the loop no instruction copies all slots of a layer, or a matrix of weights."""
    model = LanguageModel(
        LanguageModelConfig(dim=32, heads=2, layers=1, hidden=80), vocab=11, rngs=nnx.Rngs(0)
    )
    inputs, lengths = jnp.ones((rows, 5), int), jnp.full(rows, 5)
    run = _Run(for_decoding(model), inputs, lengths, None, None, [], 0, 20, "right", None)
    state = run._begun(inputs, lengths, None)
    text = proceed.lower(*run.split, run.strategy, state, run.marks, jnp.int32(20)).compile().as_text()
    lines = [line for line in text.splitlines() if " copy(" in line or " transpose(" in line]
    big = [f"[{rows},24,2,16]", "[32,32]", "[32,80]", "[80,32]", "[11,32]", "[32,11]"]
    assert f"f32[{rows},24,2,16]" in text
    assert [line for line in lines if any(f"= f32{shape}" in line for shape in big)] == []
