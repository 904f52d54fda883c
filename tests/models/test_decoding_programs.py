"""The compiled program of a decoding step copies no cache, and lays no table out twice."""

import jax.numpy as jnp
import pytest
from flax import nnx

from attnjax.models import LanguageModel, LanguageModelConfig
from attnjax.models.decoding.generate import _Run
from attnjax.models.decoding.loop import proceed
from tests.daily import daily


def program(model: LanguageModel, rows: int) -> str:
    """The optimised text of the loop for prompts of 5 tokens and up to 20."""
    inputs, lengths = jnp.ones((rows, 5), int), jnp.full(rows, 5)
    run = _Run(model, inputs, lengths, None, None, [], 0, 20, "right", None)
    state = run._begun(inputs, lengths, None)
    given = run.structure, run.params, run.strategy, state, run.marks, jnp.int32(20), jnp.int32(10**6)
    return proceed.lower(*given).compile().as_text()


@pytest.mark.optimised
def test_a_step_in_bfloat16_holds_no_table_transposed() -> None:
    """The program of the loop converts the table of a tied embedding, and lays it out once."""
    fields = {"dtype": "bfloat16", "param_dtype": "bfloat16", "tie_embeddings": True}
    model = LanguageModel(LanguageModelConfig(dim=32, layers=1, **fields), vocab=43, rngs=nnx.Rngs(0))
    text = program(model, 1)
    assert "f32[43,32]" in text
    assert [line for line in text.splitlines() if "= f32[32,43]" in line and " bitcast(" not in line] == []


@pytest.mark.optimised
@pytest.mark.parametrize("rows", daily([1, 3], [3]))
def test_a_step_copies_no_cache(rows: int) -> None:
    """In the program of the loop no instruction copies all slots of a layer."""
    model = LanguageModel(
        LanguageModelConfig(dim=32, heads=2, layers=1, hidden=80), vocab=11, rngs=nnx.Rngs(0)
    )
    text, slots = program(model, rows), f"f32[{rows},24,2,16]"
    assert slots in text
    lines = [line for line in text.splitlines() if " copy(" in line or " transpose(" in line]
    assert [line for line in lines if f"= {slots}" in line] == []
