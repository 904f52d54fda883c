"""Pictures of tasks, in one format."""

import pytest

from attnjax.tasks import pictures


@pytest.fixture(autouse=True)
def png_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """To draw a figure takes as long in each of the three, a third of most evaluations here."""
    monkeypatch.setattr(pictures, "FORMATS", ("png",))
