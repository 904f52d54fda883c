"""Pretrained models compute in single precision, whatever the tests before them have switched on."""

import sys
from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(autouse=True)
def _single_precision() -> Iterator[None]:
    with jax.enable_x64(False):
        yield


@pytest.fixture(autouse=True)
def _everything_in_slow_runs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    peers = sys.modules.get("tests.pretrained.peers")  # It is imported only where torch is.
    if peers is not None:
        monkeypatch.setattr(peers, "EVERYTHING", "not slow" not in request.config.option.markexpr)
