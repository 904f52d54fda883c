"""Pretrained models compute in single precision, whatever the tests before them have switched on."""

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(autouse=True)
def _single_precision() -> Iterator[None]:
    with jax.enable_x64(False):
        yield
