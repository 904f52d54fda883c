"""What the tests of sweeps share."""

import pytest

from attnjax.runs import devices


@pytest.fixture
def on_one_core_in_an_empty_directory(in_an_empty_directory: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of this process count on one device."""
    monkeypatch.setattr(devices, "cores", lambda: 1)
