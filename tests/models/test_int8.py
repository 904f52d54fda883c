"""Models of eight bits are those whose weights are rounded, and write what these write."""

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
    generate,
    in_int8,
)
from attnjax.models.decoding.int8 import COLUMNS, Int8Linear, Int8Table, product, rounded
from tests.daily import daily

TOKENS = jnp.array([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]])


def as_floats(model: Any) -> Any:
    """A copy of a model whose weights are those that int8 stands for, by their definition in NumPy."""
    copy = nnx.clone(model)

    def near(matrix: Any, outputs: int) -> np.ndarray:
        flat = np.asarray(matrix, np.float64).reshape(-1, outputs)
        scale = np.abs(flat).max(0) / 127
        return (np.rint(flat / np.where(scale == 0, 1, scale)) * scale).reshape(matrix.shape)

    for _, module in nnx.iter_modules(copy):
        if isinstance(module, nnx.Linear | nnx.LinearGeneral):
            kernel = module.kernel[...]
            module.kernel[...] = jnp.asarray(near(kernel, int(np.prod(module.out_features))), kernel.dtype)
        elif isinstance(module, nnx.Embed):
            table = module.embedding[...]
            module.embedding[...] = jnp.asarray(near(table.T, len(table)).T, table.dtype)
    return copy


@pytest.mark.parametrize(
    "fields",
    daily(
        [
            {"tie_embeddings": True, "positions": "learned", "max_length": 8},
            {"activation": "swiglu", "bias": False, "kv_heads": 1},
            {"mechanism": "mla"},
            {"mechanism": "gla"},
        ],
        [{"tie_embeddings": True, "positions": "learned", "max_length": 8}, {"mechanism": "mla"}],
    ),
    ids=str,
)
def test_a_model_in_int8_is_that_of_its_rounded_weights(fields: dict[str, Any]) -> None:
    """In one row, which is summed, and in several; token after token with a cache."""
    model = LanguageModel(
        LanguageModelConfig(dim=16, heads=2, layers=1, **fields), vocab=11, rngs=nnx.Rngs(0)
    )
    small, expected = in_int8(model), as_floats(model)
    run = nnx.jit(lambda model, tokens: model(tokens).logits)
    for tokens in (TOKENS, TOKENS[:1, :1]):
        np.testing.assert_allclose(run(small, tokens), run(expected, tokens), rtol=1e-4, atol=1e-4)
    assert np.abs(run(small, TOKENS) - run(model, TOKENS)).max() > 1e-4
    options: dict[str, Any] = {"eos": [], "pad": 0, "max_length": 2}
    given = TOKENS, jnp.array([6, 4])
    np.testing.assert_array_equal(
        generate(small, *given, **options).tokens, generate(expected, *given, **options).tokens
    )


def test_an_encoder_decoder_keeps_shape_dtype_and_a_quarter_of_its_bytes() -> None:
    config = TransformerConfig(dim=64, heads=2, encoder_layers=1, decoder_layers=1, dtype="bfloat16")
    model = Transformer(config, source_vocab=130, target_vocab=130, rngs=nnx.Rngs(0))
    small = in_int8(model)
    given = jax.random.randint(jax.random.key(0), (2, 5), 3, 130), jnp.array([5, 2]), TOKENS
    found, expected = (nnx.jit(lambda model: model(*given).logits)(m) for m in (small, model))
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, atol=0.2)
    before, after = (sum(x.nbytes for x in jax.tree.leaves(nnx.state(m))) for m in (model, small))
    assert after < 0.28 * before
    left = [
        m for _, m in nnx.iter_modules(small) if isinstance(m, nnx.Linear | nnx.LinearGeneral | nnx.Embed)
    ]
    assert left == []
    assert isinstance(small.decoder[0].feed_forward.up, Int8Linear)
    assert isinstance(small.source_embedding.tokens, Int8Table)
    assert isinstance(model.source_embedding.tokens, nnx.Embed)


def test_one_row_of_very_many_columns_is_the_product() -> None:
    draw = np.random.default_rng(0)
    x, numbers = draw.normal(size=(2, 3)).astype(np.float32), draw.integers(-127, 127, (3, COLUMNS + 5))
    scale = draw.uniform(size=COLUMNS + 5).astype(np.float32)
    for rows in (x, x[:1]):
        found = product(jnp.asarray(rows), jnp.asarray(numbers, jnp.int8), jnp.asarray(scale))
        np.testing.assert_allclose(found, rows @ (numbers * scale), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_are_off_by_half_a_step_at_most_and_columns_of_zeros_stay(dtype: str) -> None:
    given = jnp.asarray(np.random.default_rng(0).normal(size=(70, 5)) * [1, 100, 1e-6, 1, 0], dtype)
    numbers, scale = rounded(given)
    matrix = np.asarray(given, np.float64)
    assert numbers.dtype == jnp.int8
    assert np.abs(np.asarray(numbers)).max(0).tolist() == [127, 127, 127, 127, 0]
    step = np.abs(matrix).max(0) / 127
    assert (np.abs(numbers * np.asarray(scale, np.float64) - matrix) <= 0.5001 * step).all()
