"""A small language model whose rows end at different steps, and prompts for it."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from attnjax.models import LanguageModel, LanguageModelConfig

VOCAB, PAD = 29, 0
OPTIONS: dict[str, Any] = {"eos": [2, 3], "pad": PAD, "max_length": 12}


def lively(config: LanguageModelConfig, vocab: int = VOCAB) -> LanguageModel:
    """Untrained, but with these weights rows end at different steps."""
    model = LanguageModel(config, vocab=vocab, rngs=nnx.Rngs(0))
    state = nnx.state(model, nnx.Param)
    nnx.update(model, jax.tree.map(lambda leaf: 2.0 * leaf if leaf.ndim > 1 else leaf, state))
    return model


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return lively(LanguageModelConfig(dim=16, heads=2, layers=1, hidden=32))


def prompts(count: int = 11) -> tuple[jax.Array, jax.Array]:
    tokens = jax.random.randint(jax.random.key(5), (count, 9), 4, VOCAB)
    return tokens, jnp.arange(count) * 5 % 9 + 1


def padded_left(tokens: jax.Array, lengths: jax.Array) -> jax.Array:
    width = tokens.shape[1]
    return jnp.stack([jnp.roll(row, width - n) for row, n in zip(tokens, lengths, strict=True)])
