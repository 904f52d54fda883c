"""Most tests of the linear family compare many small programs, each compiled for one test."""

import pytest

OPTIMISED = ("test_forms", "test_stability")


@pytest.fixture(autouse=True)
def _compile_quickly(request: pytest.FixtureRequest) -> None:
    """Save in the modules whose programs are as users run them."""
    if request.module.__name__.rpartition(".")[2] not in OPTIMISED:
        request.getfixturevalue("compile_quickly")
