import jax
import pytest


@pytest.fixture(autouse=True)
def _double_precision():
    """Masks and scores that a test builds keep float64; calls in lower precision switch it off."""
    with jax.enable_x64(True):
        yield
