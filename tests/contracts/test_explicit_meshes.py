"""Meshes whose axes are explicit, as `jax.make_mesh` makes them, in a fresh process of two devices."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.versions


@pytest.mark.parametrize("words", [(), pytest.param(("every",), marks=pytest.mark.slow)])
def test_everything_is_as_without_a_mesh(words):
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.contracts.explicit_meshes", *words]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout == "as without a mesh\n", done.stderr[-3000:]
