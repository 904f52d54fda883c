"""Models of equal size: what is counted is what there is, and what comes out is equal."""

import dataclasses

import jax
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.models.config import LanguageModelConfig
from attnjax.models.language_model import LanguageModel
from attnjax.models.sizes import of_equal_size, sizes
from tests.daily import daily

BASE = LanguageModelConfig(dim=16, heads=2, head_dim=8, hidden=64, positions="none", convolution=3)
WHERE = {"vocab": 9, "length": 16}


@pytest.mark.parametrize(
    ("mechanism", "cache"),
    [
        # Two heads of 8: a state in one layer, keys and values of 16 tokens in the other.
        ("retention+softmax", 2 * 8 * 8 + 2 * 16 * 2 * 8),
        ("prefix(size=4)", None),
    ],
)
def test_sizes_are_those_of_the_model(mechanism: str, cache: int | None) -> None:
    config = dataclasses.replace(BASE, mechanism=mechanism)
    found = sizes(config, **WHERE)
    params = nnx.state(LanguageModel(config, vocab=9, rngs=nnx.Rngs(0)), nnx.Param)
    assert found.parameters == sum(x.size for x in jax.tree.leaves(params))
    assert found.cache == (None if cache is None else cache + 2 * 16)  # The tail of the convolution.


@pytest.mark.parametrize(
    ("mechanism", "head_dim"),
    daily([("window(size=4)", 8), ("gla", 16), ("retention+softmax", 12)], [("retention+softmax", 12)]),
)
def test_sizes_are_made_equal(mechanism: str, head_dim: int) -> None:
    like, choices = sizes(BASE, **WHERE), (4, 8, 12, 16)
    config = dataclasses.replace(BASE, mechanism=mechanism)
    made = of_equal_size(config, BASE, choices, **WHERE)
    found = sizes(made, **WHERE)
    assert abs(found.parameters - like.parameters) <= 0.01 * like.parameters
    assert dataclasses.replace(made, hidden=64, head_dim=8) == config
    # Of all that could be, none is nearer.
    caches = {n: sizes(dataclasses.replace(config, head_dim=n), **WHERE).cache for n in choices}
    assert made.head_dim == head_dim == min(choices, key=lambda n: abs(caches[n] - like.cache))


def test_what_has_no_cache_keeps_its_heads() -> None:
    made = of_equal_size(dataclasses.replace(BASE, mechanism="prefix(size=4)"), BASE, (4, 8), **WHERE)
    assert made.head_dim == 8
    assert made.hidden == 64


def test_a_head_size_that_takes_too_many_parameters_is_not_taken() -> None:
    kda, small = dataclasses.replace(BASE, mechanism="kda"), dataclasses.replace(BASE, hidden=4)
    assert of_equal_size(kda, small, (4, 16), **WHERE).head_dim == 4
    with pytest.raises(InputError, match=r"^kda: with heads of 16 it has more parameters"):
        of_equal_size(kda, small, (16,), **WHERE)
