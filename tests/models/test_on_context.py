"""Decoding with a cache over eight devices: the program of a step, and the tokens of one device.

These in processes of their own, since jax counts its devices once.
"""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from tests.models.on_context import DEVICES, MODELS


def test_a_step_attends_slots_where_a_mesh_has_them() -> None:
    mesh = jax.sharding.AbstractMesh((DEVICES,), ("context",), (jax.sharding.AxisType.Auto,))
    with jax.enable_x64(True), jax.sharding.use_abstract_mesh(mesh):
        model = MODELS["multi-query"]()
        cache = jax.eval_shape(lambda: model.init_cache(2, 16))
        step = jax.make_jaxpr(lambda token, cache: model.extend(token, cache)[:2])(
            jnp.ones((2, 1), int), cache
        )
    assert "shard_map" in str(step)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("multi-query", "384 of 3072 bytes, all-reduce"),
        ("rotated", "1536 of 12288 bytes, all-reduce"),
        ("windowed", "1536 of 12288 bytes, all-reduce"),
        ("sparsemax", "1536 of 12288 bytes, all-gather all-reduce"),
        ("encoder-decoder", "1536 of 12288 bytes, all-reduce"),
    ],
)
def test_a_cache_over_eight_devices_gives_the_tokens_of_one(name: str, expected: str) -> None:
    command = [sys.executable, "-m", "tests.models.on_context", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.stdout == f"{name}: {expected}\n", done.stderr
