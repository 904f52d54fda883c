"""Decoding with a cache over eight devices, in processes of its own, since jax counts its devices once."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.daily import daily


@pytest.mark.parametrize(
    ("name", "expected"),
    daily(
        [
            ("multi-query", "384 of 3072 bytes, all-reduce"),
            ("rotated", "1536 of 12288 bytes, all-reduce"),
            ("windowed", "1536 of 12288 bytes, all-reduce"),
            ("sparsemax", "1536 of 12288 bytes, all-gather all-reduce"),
            ("encoder-decoder", "1536 of 12288 bytes, all-reduce"),
        ],
        [("multi-query", "384 of 3072 bytes, all-reduce")],
    ),
)
def test_a_cache_over_eight_devices_gives_the_tokens_of_one(name: str, expected: str) -> None:
    command = [sys.executable, "-m", "tests.models.on_context", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.stdout == f"{name}: {expected}\n", done.stderr
