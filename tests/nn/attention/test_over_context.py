"""The function that computes attention where a mesh splits sequences; its results: test_meshes.py."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from attnjax.mechanisms import linear
from attnjax.nn.attention.cache import KeysValues, KVCache
from attnjax.nn.attention.over_context import over_context
from attnjax.nn.placed import axis_of_sequences
from attnjax.ops import comparisons
from attnjax.ops.attention import attention
from attnjax.ops.context.attention import context_attention
from attnjax.ops.context.decode import context_decode
from attnjax.ops.normalizers import sparsemax
from tests.daily import daily

PLAIN = {"implementation": None, "comparison": None, "normalizer": None}
IN_SHARDS = [row.name for row in linear.ROWS if row.shards]
MESH = jax.sharding.AbstractMesh((1, 2), ("data", "context"), (jax.sharding.AxisType.Auto,) * 2)
TWO = jax.sharding.AbstractMesh((2, 2), ("data", "context"), (jax.sharding.AxisType.Auto,) * 2)


def test_sequences_that_a_mesh_splits_are_attended_over_its_devices():
    x, odd, one = jnp.ones((1, 4, 1, 2)), jnp.ones((1, 3, 1, 2)), jnp.ones((1, 1, 1, 2))
    assert over_context(attention, x, x, PLAIN) is attention
    with jax.sharding.use_abstract_mesh(MESH):
        assert axis_of_sequences(4, 8) == "context"
        assert over_context(attention, x, x, PLAIN) is context_attention
        for query in (odd, one):
            assert over_context(attention, query, x, PLAIN) is context_decode
            assert over_context(attention, query, x, PLAIN | {"normalizer": sparsemax()}) is attention
        many = jnp.ones((1, 5, 1, 2))
        for query, keys in ((x, odd), (odd, odd), (many, x)):
            assert over_context(attention, query, keys, PLAIN) is attention
        assert over_context(max, x, x, PLAIN) is max
        windows = jnp.ones((1, 2, 4, 1, 2))
        assert over_context(attention, windows, windows, PLAIN) is attention


def test_the_slots_of_a_cache_are_laid_out_where_it_is_made_and_where_it_grows():
    """What XLA would propagate from a query is not relied on."""
    one = jnp.ones((1, 1, 1, 2))
    new = KeysValues(one, one)

    def made() -> KVCache:
        return KVCache.empty((1,), 4, kv_heads=1, head_dim=2, dtype=jnp.float32)

    with jax.sharding.use_abstract_mesh(MESH):
        cache = jax.eval_shape(made)
        programs = [jax.make_jaxpr(made)(), jax.make_jaxpr(lambda held: held.append(new))(cache)]
    for program in programs:
        laid = [eqn.params["sharding"].spec for eqn in program.eqns if "sharding_constraint" in str(eqn)]
        assert [spec[1] for spec in laid] == ["context"] * 2  # Of keys, and of values.


def test_beside_other_axes_sequences_are_gathered_on_cpu_alone(monkeypatch):
    with jax.sharding.use_abstract_mesh(TWO):
        monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
        assert axis_of_sequences(4) is None
        monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
        assert axis_of_sequences(4) == "context"


@pytest.mark.parametrize("asked", [{"implementation": "blockwise"}, {"comparison": comparisons.l2()}])
def test_what_was_asked_for_by_name_computes_whole_sequences(asked):
    x = jnp.ones((1, 4, 1, 2))
    with jax.sharding.use_abstract_mesh(MESH):
        assert over_context(attention, x, x, PLAIN | asked) is attention


@pytest.mark.parametrize(
    "mechanisms",
    daily(
        [["hgrn2"], ["window(size=3)", "softmax", "alibi", "sigmoid", "cosformer"], sorted(IN_SHARDS)],
        [["hgrn2"]],
    ),
)
def test_layers_give_what_they_give_on_one_device(mechanisms):
    command = [sys.executable, "-m", "tests.nn.attention.on_context", *mechanisms]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"{name} {'whole' if name == 'cosformer' else 'shards'}" for name in mechanisms
    ]
