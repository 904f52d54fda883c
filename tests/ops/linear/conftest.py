"""Most tests of the linear family compare many small programs, each compiled for one test."""

from collections.abc import Iterator

import jax
import pytest

OPTIMISED = ("test_forms", "test_stability")


@pytest.fixture(autouse=True)
def _compile_quickly(request: pytest.FixtureRequest) -> Iterator[None]:
    """Few of XLA's optimisations, save in the modules whose programs are as users run them."""
    name = "jax_disable_most_optimizations"
    before = jax.config.values[name]
    if request.module.__name__.rpartition(".")[2] not in OPTIMISED:
        jax.config.update(name, True)
    yield
    jax.config.update(name, before)
