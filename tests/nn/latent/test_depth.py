"""What layers of a stack leave for those above: values, and all that they give."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.models import LanguageModel, LanguageModelConfig, Transformer, TransformerConfig
from attnjax.nn import AttentionResidual, Depth
from attnjax.ops import masks
from attnjax.ops.depth import depth_attention

IDS = jnp.arange(12).reshape(2, 6) % 11
SIZES: dict[str, Any] = {"dim": 8, "heads": 2, "hidden": 8, "residual": "attention"}


def model(**fields: Any) -> LanguageModel:
    made = LanguageModel(LanguageModelConfig(layers=2, **SIZES | fields), vocab=11, rngs=nnx.Rngs(0))
    for i, (_, part) in enumerate(nnx.iter_modules(made)):
        if isinstance(part, AttentionResidual):
            part.query[...] = jax.random.normal(jax.random.key(i), (8,))
    return made


def test_a_layer_reads_a_mixture_of_all_below() -> None:
    made = model()
    x, mask, given = made.embedding(IDS, jnp.arange(6)), masks.causal(), []

    def read(connection: AttentionResidual) -> jax.Array:
        return connection.norm(depth_attention(connection.query[...], jnp.stack(given), connection.gain[...]))

    given.append(x)
    for block in made.blocks:
        given.append(block.attention(read(block.attention_residual), mask=mask).out)
        given.append(block.feed_forward(read(block.feed_forward_residual)))
    expected = made.output(read(made.norm))
    np.testing.assert_allclose(jax.jit(lambda ids: made(ids).logits)(IDS), expected, rtol=1e-4, atol=1e-5)


def test_a_model_of_attention_residuals_decodes_and_learns() -> None:
    made = model(mechanism="value_residual")
    graphdef, params = nnx.split(made, nnx.Param)

    def loss(params: nnx.State) -> tuple[jax.Array, jax.Array]:
        logits = nnx.merge(graphdef, params)(IDS).logits
        return (logits**2).sum(), logits

    gradient, whole = jax.jit(jax.grad(loss, has_aux=True))(params)
    step = jax.jit(lambda ids, cache: made(ids, cache=cache)[:2])
    first, cache = step(IDS[:, :3], made.init_cache(2, 6))
    rest, _ = step(IDS[:, 3:], cache)
    np.testing.assert_allclose(jnp.concatenate([first, rest], 1), whole, rtol=1e-4, atol=1e-5)
    assert jnp.abs(gradient["norm"]["query"][...]).max() > 0


def test_an_encoder_decoder_reads_its_own_depths() -> None:
    config = TransformerConfig(encoder_layers=1, decoder_layers=1, **SIZES)
    made = Transformer(config, source_vocab=11, target_vocab=11, rngs=nnx.Rngs(0))
    lengths = jnp.array([6, 4])
    memory = made.encode(IDS, lengths).memory
    logits = made.decode(IDS, memory, lengths).logits
    later = made.decode(IDS.at[:, 4:].set(1), memory, lengths).logits
    np.testing.assert_allclose(later[:, :4], logits[:, :4], rtol=1e-5, atol=1e-6)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"model\.residual is 'attention': it needs norm_placement pre, got post"
    ):
        LanguageModelConfig(norm_placement="post", **SIZES)
    with pytest.raises(InputError, match="attention_residual takes what all layers before it gave, and here"):
        LanguageModelConfig(mechanism="attention_residual")
    residual = AttentionResidual(nnx.RMSNorm(8, rngs=nnx.Rngs(0)), 8)
    with pytest.raises(ValueError, match="depth None: expected the Depth of this call of the stack"):
        residual.enter(jnp.ones((1, 2, 8)), None)
    assert Depth().outputs == []
