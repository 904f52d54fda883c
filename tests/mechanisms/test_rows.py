"""Each declaration holds of the function that it names."""

import inspect

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import attnjax
from attnjax.mechanisms import Layer, Mechanism, Recipe, Recurrence, find, table
from attnjax.mechanisms.base import ONE_SIZE
from attnjax.mechanisms.recipes import NOT_IN_A_CONFIG
from attnjax.nn import make_attention
from attnjax.ops.linear.members.common import Options

GIVEN = {
    "offset",
    "causal",
    "queries",
    "keys",
    "heads",
    "log_gates",
    "dim",
    "kv_heads",
    "head_dim",
    "value_dim",
    "rngs",
    "dtype",
    "param_dtype",
}
RECURRENCES, RECIPES, LAYERS = table(Recurrence), table(Recipe), table(Layer)
STREAMING = [row.name for row in table(Mechanism).values() if row.takes == "tokens" and row.streaming]
# What is declared otherwise (how both directions are joined), or is a function.
UNDECLARED = {"two_sided", "feature_map"}


def parameters(row: Mechanism) -> dict[str, inspect.Parameter]:
    function = row.function.__init__ if isinstance(row.function, type) else row.function  # type: ignore[misc]
    return {name: p for name, p in inspect.signature(function).parameters.items() if name != "self"}


@pytest.mark.parametrize("name", RECURRENCES)
def test_a_recurrence_takes_its_gates_and_options(name: str) -> None:
    row = RECURRENCES[name]
    own = [p for p in parameters(row).values() if p.kind is p.KEYWORD_ONLY]
    sizes = {"writes", "slots", "levels", "features"}
    assert {p.name for p in own} - UNDECLARED == {*row.gates, *row.options} - (sizes - set(row.gates))
    assert {p.name for p in own if p.default is None} & {*row.gates} == {
        gate for gate, declared in row.gates.items() if declared.optional
    }
    for p in own:
        if p.name in row.options and row.options[p.name].default is not None and p.default is not p.empty:
            assert p.default == row.options[p.name].default
    assert row.paper is not None
    assert f"arXiv:{row.paper.arxiv}" in (inspect.getdoc(row.function) or "")
    assert not set(Options.__annotations__) & {*row.gates, *row.options}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_takes_its_options(name: str) -> None:
    row, taken = RECIPES[name], parameters(RECIPES[name])
    needed = {n for n, p in taken.items() if p.default is p.empty and p.kind is not p.VAR_KEYWORD}
    assert needed <= {*row.options} | GIVEN
    assert {*row.options} <= taken.keys()
    assert row.paper is not None


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_takes_its_options_with_their_defaults(name: str) -> None:
    row = LAYERS[name]
    assert isinstance(row.function, type)
    bases = [base for base in row.function.__mro__ if "__init__" in vars(base)]
    taken = {n: p for base in reversed(bases) for n, p in inspect.signature(base.__init__).parameters.items()}
    for option, declared in row.options.items():
        assert taken[option].default in (declared.default, inspect.Parameter.empty), option
    assert row.paper is not None
    assert not row.causal_only or not row.two_sided_only


@pytest.mark.parametrize("name", table())
def test_defaults_are_in_their_range(name: str) -> None:
    row = table()[name]
    defaults = {n: option.default for n, option in row.options.items()}
    assert row.checked(defaults) == defaults
    assert row.formula
    assert row.cost.startswith("O(")


def test_every_primitive_has_a_row_or_a_reason() -> None:
    functions = {"attention", "attention_weights", "plan_attention", "linear_attention"}
    positions = {"alibi_slopes", "relative_buckets", "rope", "sinusoidal", "to_zigzag", "from_zigzag"}
    public = {name for name in attnjax.__all__ if name.islower()} - positions
    names = {"sliding_window": "window", "softmax": "sink"}
    rows = {name for name in public if names.get(name, name) in table()}
    assert rows | NOT_IN_A_CONFIG.keys() | functions == public
    assert not rows & NOT_IN_A_CONFIG.keys()


@pytest.mark.parametrize("name", STREAMING)
def test_what_decoding_holds_grows_with_the_tokens_or_is_of_one_size(name: str) -> None:
    layer = make_attention(name, 8, 2, rngs=nnx.Rngs(0))

    def held(capacity: int) -> int:
        cache = jax.eval_shape(lambda: layer.empty_cache((1,), capacity, jnp.float32))
        return sum(leaf.size for leaf in jax.tree.leaves(cache))

    grows = find(name).holds not in (ONE_SIZE, "a cache of a window's keys and values")
    assert (held(256) > held(128)) == grows
