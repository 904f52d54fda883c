"""Blocks whose insides are computed again: same values and gradients; half precision over float32 masters."""

import re
from dataclasses import replace
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
)
from attnjax.nn import Dropout
from attnjax.nn.training import in_training
from attnjax.train.config import TrainConfig
from attnjax.train.state import init_state
from attnjax.train.step import make_train_step, traced_values
from tests.daily import daily

TOKENS = jax.random.randint(jax.random.key(2), (2, 7), 0, 11)
SMALL: dict[str, Any] = {"dim": 8, "heads": 2, "hidden": 12}
MODELS = {
    "language model": lambda remat: LanguageModel(
        LanguageModelConfig(**SMALL, layers=1, mechanism="mixture_of_heads", remat=remat),
        vocab=11,
        rngs=nnx.Rngs(0),
    ),
    "transformer": lambda remat: Transformer(
        TransformerConfig(**SMALL, encoder_layers=1, decoder_layers=1, remat=remat),
        source_vocab=11,
        target_vocab=11,
        rngs=nnx.Rngs(0),
    ),
}


def cost(graph: Any, params: Any) -> jax.Array:
    """A sum over what a model gives in training, with what its layers leave."""
    model, dropout = nnx.merge(graph, params), Dropout(0.2, jax.random.key(3))
    with in_training() as losses:
        if isinstance(model, Transformer):
            out = model(TOKENS, jnp.array([7, 4]), TOKENS, dropout=dropout).logits
        else:
            out = model(TOKENS, dropout=dropout).logits
    return jnp.sum(jnp.sin(out)) + sum(losses)


@pytest.mark.parametrize("name", MODELS)
def test_each_block_is_computed_again_where_asked(name: str) -> None:
    graph, params = nnx.split(nnx.eval_shape(lambda: MODELS[name](True)))
    program = str(jax.make_jaxpr(lambda params: cost(graph, params))(params))
    assert len(re.findall(r" (?:remat2?|checkpoint)\[", program)) == (2 if name == "transformer" else 1)


@pytest.mark.parametrize("name", daily(MODELS, ["language model"]))
def test_values_and_gradients_are_those_without(name: str) -> None:
    found = {}
    for remat in (False, True):
        graph, params = nnx.split(MODELS[name](remat))
        slope = jax.value_and_grad(lambda params, graph=graph: cost(graph, params))
        traced = jax.jit(slope).trace(params)
        program = str(traced.jaxpr)
        assert ("remat" in program or "checkpoint" in program) is remat
        found[remat] = traced.lower().compile()(params)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found[True], found[False]
    )


def test_what_is_kept_by_name_is_not_computed_again() -> None:
    config = LanguageModelConfig(**SMALL, layers=1)
    products = {}
    for keeps in (None, "nothing", "dots_with_no_batch_dims", "dots", "everything"):
        made = config if keeps is None else replace(config, remat=True, remat_keeps=keeps)
        graph, params = nnx.split(LanguageModel(made, vocab=11, rngs=nnx.Rngs(0)))
        slope = jax.grad(lambda params, graph=graph: cost(graph, params))
        products[keeps] = str(jax.make_jaxpr(slope)(params)).count("dot_general[")
    assert products["nothing"] > products["dots_with_no_batch_dims"] > products["dots"]
    assert products["dots"] == products["everything"] == products[None]
    with pytest.raises(InputError, match=r"model\.remat_keeps is dots: it needs remat, which is False"):
        replace(config, remat_keeps="dots")
    with pytest.raises(InputError, match=r"model\.remat_keeps is 'dot': "):
        replace(config, remat=True, remat_keeps="dot")


def test_layers_that_read_those_below_are_refused() -> None:
    with pytest.raises(InputError, match=r"model\.remat is True: value_residual reads what the layers below"):
        LanguageModel(
            LanguageModelConfig(**SMALL, layers=1, mechanism="value_residual", remat=True),
            vocab=5,
            rngs=nnx.Rngs(0),
        )
    with pytest.raises(InputError, match=r"model\.remat is True: it needs residual sum"):
        replace(LanguageModelConfig(**SMALL), residual="attention", remat=True)


def test_half_precision_computes_and_float32_is_kept() -> None:
    """256 + 1 is 256 in bfloat16: a parameter kept in it would not move by so little."""
    config = EncoderConfig(**SMALL, layers=1, dtype="bfloat16", head="labels", pooling="mean", remat=True)
    graph, params = nnx.split(Encoder(config, vocab=11, rngs=nnx.Rngs(0)))
    params = nnx.to_pure_dict(params)
    states = jax.eval_shape(lambda params: nnx.merge(graph, params)(TOKENS).states, params)
    assert states.dtype == jnp.bfloat16

    def loss(params: Any, batch: Any, *, dropout: Any, hyper: Any) -> Any:
        logits = nnx.merge(graph, params)(batch["tokens"]).logits
        value = jnp.mean(jax.nn.logsumexp(logits, -1) - logits[:, 0])
        return value, {"loss": value, "weight": jnp.float32(2)}

    train = TrainConfig(steps=4, batch_size=2, warmup_steps=0, learning_rate=1e-5, schedule="constant")
    step = jax.jit(make_train_step(loss, train))
    state, _ = step(
        init_state(params, train), {"tokens": TOKENS}, traced_values(train, {}), jax.random.key(0)
    )
    assert {x.dtype for x in jax.tree.leaves(state.params)} == {jnp.dtype("float32")}
    assert {x.dtype for x in jax.tree.leaves(state.opt_state) if x.ndim} == {jnp.dtype("float32")}
    moved = state.params["head"]["output"]["kernel"] - params["head"]["output"]["kernel"]
    assert 0 < np.abs(moved).max() < 1e-4
