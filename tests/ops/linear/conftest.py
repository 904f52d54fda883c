"""What the tests of the family share."""

import pytest

from attnjax.ops.linear import attention


@pytest.fixture
def as_on_accelerators(monkeypatch):
    """The chunked form as it is computed where the default backend is no CPU."""
    monkeypatch.setattr("attnjax.ops.linear.chunked._on_cpu", lambda: False)
    attention._run.clear_cache()
    yield
    attention._run.clear_cache()
