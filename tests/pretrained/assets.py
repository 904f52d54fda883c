"""Pretrained models out of ordinary packages, which scripts/assets.sh fetches into a folder of the user."""

from pathlib import Path

import pytest

from attnjax.config import assets

LISTED = Path(__file__).with_name("assets.txt")


def asset(package: str) -> Path:
    """The folder of a package, such as "glassllm==0.1.0"; the test is skipped where it is not there."""
    assert package in LISTED.read_text().split(), f"{package} is not in {LISTED}"
    home = assets()
    if not (home / package).is_dir():
        pytest.skip(f"{package} is not in {home}: `scripts/assets.sh {package}` fetches it")
    return home / package
