"""Everything public shows how it is used: its docstring has an example, which doctest runs."""

import inspect

import pytest

import attnjax
from attnjax import models


@pytest.mark.parametrize("name", attnjax.__all__)
def test_a_primitive_has_an_example(name: str) -> None:
    assert ">>> " in inspect.getdoc(getattr(attnjax, name))


@pytest.mark.parametrize("function", [models.greedy_decode, models.alignment])
def test_decoding_has_an_example(function) -> None:
    assert ">>> " in inspect.getdoc(function)
