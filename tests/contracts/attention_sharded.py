"""`shard_map` of an engine over 2 × 2 CPU devices (batch × heads) against the same on one.

python -m tests.contracts.attention_sharded ENGINE…
"""

import functools
import sys

import jax
import jax.numpy as jnp
import pytest

import attnjax as aj
from attnjax.ops.engines import choose
from tests.contracts.attention_cases import SHAPES, close, inputs, normal, small_blocks


def compose(engine: str) -> None:
    """What rules close over varies over other axes than the queries, the rest over the same or none."""
    print(engine, flush=True)  # The last name says what failed.
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    args, bias = inputs(SHAPES[0]), normal(12, 4, 7, 10)
    p = jax.sharding.PartitionSpec
    (batch, length, heads, _), keys = args[0].shape, args[1].shape[1]
    ids = jnp.arange(batch * length).reshape(batch, length) % 5
    table, gain, shared = normal(20, batch, keys), 1 + normal(21, heads) ** 2, normal(22, length)

    def loss(query, key, value, bias, ids, table, gain, shared, engine=engine):
        same = aj.predicate(lambda b, n, t, s: (ids[b, t] < s) | (t == s))

        def score(x, b, n, t, s):
            own = jax.nn.relu(x * gain[n] + table[b, s]) + jax.nn.softplus(shared[t] * gain[n])
            own = jax.lax.cond(t > 2, lambda: x, lambda: x * gain[n]) + own
            return jnp.where(t > 3, 2 * own * shared[t], own + gain[n]) + jnp.sin(table[b, s])

        mask, rule = aj.causal(3) & same, aj.score_fn(score)
        out = aj.attention(query, key, value, bias=bias, mask=mask, score=rule, implementation=engine)
        return jnp.sum(jnp.sin(out)).reshape(1, 1)

    spec = p("data", None, "model", None)
    specs = (spec, spec, spec, p("model"), p("data"), p("data"), p("model"), p())
    sharded = jax.shard_map(loss, mesh=mesh, in_specs=specs, out_specs=p("data", "model"))
    operands, floats = (*args, bias, ids, table, gain, shared), (0, 1, 2, 3, 5, 6, 7)
    whole = functools.partial(loss, engine="reference")
    got, expected = (
        jax.jit(jax.grad(lambda *a, fn=fn: fn(*a).sum(), argnums=floats))(*operands)
        for fn in (sharded, whole)
    )
    jax.tree.map(lambda a, b: close(a, b, 1e-4), got, expected)
    branches(engine, mesh, args[0], table, gain)


def branches(engine: str, mesh: jax.sharding.Mesh, x: jax.Array, table: jax.Array, gain: jax.Array) -> None:
    """Branches over nothing but what varies over different axes are refused; what the words propose works."""
    p = jax.sharding.PartitionSpec

    def loss(x, table, gain, over=()):
        gain = jax.lax.pcast(gain, over, to="varying") if over else gain
        table = jax.lax.pcast(table, "model", to="varying") if over else table

        def rule(score, b, n, t, s):
            return jax.lax.cond(t > 3, lambda: score * gain[n], lambda: table[0, 0])

        out = aj.attention(x, x, x, score=aj.score_fn(rule), implementation=engine)
        return jnp.sum(jnp.sin(out)).reshape(1, 1)

    def sharded(check_vma=True, **options):
        specs = (p("data", None, "model", None), p("data"), p("model"))
        fn = functools.partial(loss, **options)
        mapped = jax.shard_map(
            fn, mesh=mesh, in_specs=specs, out_specs=p("data", "model"), check_vma=check_vma
        )
        return jax.jit(mapped)(x, table, gain).sum()

    x = x[:, :, :2]
    gain = gain[:2]
    with pytest.raises(TypeError, match="rule: the branches of a cond"):
        sharded()
    expected = jax.jit(loss)(x, table, gain).sum()
    for options in ({"over": "data"}, {"check_vma": False}):
        close(sharded(**options), expected)


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", 4)
    choose.ENGINES = small_blocks()
    for engine in sys.argv[1:]:
        compose(engine)
