"""Hosts whose code differs say which file."""

from typing import Any

import pytest

from attnjax.config import InputError
from attnjax.experiment import registry
from attnjax.runs import hosts


class Two:
    """Two hosts, of which the other one has another file of the package."""

    count = 2

    def exchange(self, own: dict[str, Any]) -> list[dict[str, Any]]:
        return [own, {**own, "attnjax/train/step.py": "other"}]

    def refuse(self, reason: str) -> None:
        raise InputError(reason)


def test_the_file_that_differs_is_named(monkeypatch) -> None:
    registry.discover()
    copying = registry.find("copying")
    monkeypatch.setattr(hosts, "hosts", Two)
    differs = r"^host 1 differs from host 0: attnjax/train/step\.py is other and not [0-9a-f]{12}$"
    with pytest.raises(InputError, match=differs):
        hosts.require_same_program(copying, registry.default_config(copying), {})
