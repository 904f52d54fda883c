"""What a predicate or a score function closes over may be traced, of any dtype, under any transformation."""

import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import attnjax as aj
from attnjax.ops.core.pairs import Sizes
from tests.contracts.attention_cases import close
from tests.daily import daily

T, N, H = 10, 2, 4
IDS = np.array([[0, 0, 0, 1, 1, 1, 1, 2, 2, 2], [5, 5, 5, 5, 5, 5, 7, 7, 7, 7]])


def over_ids(a):
    return lambda i, j: a["ids"][i] == a["ids"][j]


def over_a_table(a):
    table = a["ids"][:, None] <= a["ids"]
    return lambda i, j: table[j, i]


def over_a_scalar(a):
    n = a["ids"][-1]
    return lambda i, j: (i + j) % (n + 1) != 1


def over_what_jit_computes(a):
    doubled = jnp.cumsum(a["ids"]) // 3
    return jax.jit(lambda i, j: doubled[i] <= doubled[j] + 2)


def over_a_function(a):
    def place(i):
        return a["ids"][i]

    @jax.jit
    def same(i, j):
        return place(i) == jax.lax.cond(j > 20, place, lambda j: place(j) + 0, j)

    return lambda i, j: same(i, j)


KINDS = (over_ids, over_a_table, over_a_scalar, over_what_jit_computes, over_a_function)


def rule_over(a):
    """Of all kinds at once: whether an odd number of them holds."""
    rules = [over(a) for over in KINDS]
    return lambda i, j: functools.reduce(operator.xor, [rule(i, j) for rule in rules])


# What JAX does with a loss of x [T, N, H] and of what is closed over, `one` of a batch or all of it.
TRANSFORMATIONS = {
    "jvp": lambda loss, x, one, batch: jax.jvp(lambda x: loss(x, one), (x,), (jnp.cos(x),)),
    "vmap": lambda loss, x, one, batch: jax.vmap(jax.grad(loss), (None, 0))(x, batch),
    "scan": lambda loss, x, one, batch: jax.grad(
        lambda x: jax.lax.scan(lambda total, a: (total + loss(x, a), None), 0.0, batch)[0]
    )(x),
    "remat": lambda loss, x, one, batch: jax.grad(
        lambda x: jax.vmap(jax.checkpoint(loss), (None, 0))(x, batch).sum()
    )(x),
}


class TestClosures:
    # That of remat maps too.
    @pytest.mark.parametrize("transformation", daily(TRANSFORMATIONS, ["jvp", "remat"]))
    def test_the_written_formula_and_the_engines_agree_under(self, transformation):
        def ours(x, a, engine):
            rule = rule_over(a)
            mask = aj.causal() & aj.predicate(lambda b, h, i, j: rule(i, j))
            score = aj.score_fn(lambda s, b, h, i, j: s + 2.0 * rule(j, i))
            return jnp.sin(aj.attention(x, x, x, mask=mask, score=score, implementation=engine)).sum()

        def written(x, a):
            i, j = jnp.arange(T)[:, None], jnp.arange(T)
            rule = jnp.vectorize(rule_over(a))
            scores = jnp.einsum("tnh,snh->nts", x, x) / jnp.sqrt(H) + 2.0 * rule(j, i)
            attended = rule(i, j) & (j <= i)
            weights = jnp.where(attended, jnp.exp(jnp.where(attended, scores, 0)), 0)
            total = weights.sum(-1, keepdims=True)
            weights = weights / jnp.where(total == 0, 1, total)
            return jnp.sin(jnp.einsum("nts,snh->tnh", weights, x)).sum()

        x = jax.random.normal(jax.random.key(0), (T, N, H))
        batch = {"ids": jnp.asarray(IDS)}

        def transformed(loss):
            one = jax.tree.map(lambda a: a[0], batch)
            run = jax.jit(functools.partial(TRANSFORMATIONS[transformation], loss))
            return run(x, one, batch)

        expected = transformed(written)
        for engine in ("reference", "blockwise"):
            got = transformed(functools.partial(ours, engine=engine))
            jax.tree.map(lambda a, b: close(a, b, 1e-4), got, expected)

    @pytest.mark.parametrize("engine", daily(["reference", "blockwise"], ["blockwise"]))
    def test_a_module_closes_over_its_variables(self, engine):
        class Layer(nnx.Module):
            def __init__(self):
                self.ids, self.gain = nnx.Variable(jnp.asarray(IDS[0])), nnx.Param(jnp.array(2.0))

            def __call__(self, x):
                same = aj.predicate(lambda b, h, i, j: self.ids[...][i] == self.ids[...][j])
                score = aj.score_fn(lambda s, b, h, i, j: s * self.gain[...] * (self.ids[...][j] + 1))
                return aj.attention(x, x, x, mask=same, score=score, implementation=engine)

        def written(gain):
            ids = IDS[0]
            weights = jnp.exp(jnp.einsum("tnh,snh->nts", x, x) / jnp.sqrt(H) * gain * (ids + 1))
            weights = weights * (ids[:, None] == ids)
            return jnp.sin(jnp.einsum("nts,snh->tnh", weights / weights.sum(-1, keepdims=True), x)).sum()

        x = jax.random.normal(jax.random.key(0), (T, N, H))
        gradient = nnx.jit(nnx.grad(lambda layer: jnp.sin(layer(x)).sum()))
        close(gradient(Layer())["gain"][...], jax.grad(written)(jnp.array(2.0)), 1e-4)


def test_at_the_size_where_the_default_engine_changes_nothing_else_does():
    def loss(x, ids):
        same = aj.predicate(lambda b, h, i, j: ids[i] == ids[j])
        return aj.attention(x, x, x, mask=aj.causal() & same).sum()

    for length in (1023, 1024):
        x, ids = jax.ShapeDtypeStruct((length, 1, 2), "float32"), jax.ShapeDtypeStruct((length,), "int32")
        assert jax.eval_shape(jax.jit(jax.grad(loss)), x, ids).shape == x.shape


def test_a_key_may_be_closed_over_too():
    def loss(x, key):
        drop = aj.predicate(lambda b, h, i, j: jax.random.bernoulli(jax.random.fold_in(key, i * T + j)))
        noise = aj.score_fn(lambda s, b, h, i, j: s + jax.random.normal(jax.random.fold_in(key, i + j)))
        return aj.attention(x, x, x, mask=drop, score=noise, implementation="blockwise").sum()

    x, keys = jnp.ones((T, N, H)), jax.random.split(jax.random.key(0))
    assert jax.eval_shape(jax.vmap(jax.grad(loss), (None, 0)), x, keys).shape == (2, *x.shape)


def test_a_function_is_compiled_anew_only_when_what_it_closes_over_has_changed():
    held = {"ids": jnp.asarray(IDS[0]), "table": IDS[0] > 0, "n": 3}
    mask = aj.predicate(
        lambda b, h, i, j: (held["ids"][i] == j) & jnp.asarray(held["table"])[i] & (i < held["n"])
    )

    def bound():
        return jax.tree.structure(mask.bind(Sizes((), 1, T, T)))

    before = bound()
    assert bound() == before
    for name, other in {"ids": jnp.asarray(IDS[1]), "table": IDS[0] > 1, "n": 4}.items():
        held[name] = other
        assert bound() != before
        before = bound()
    assert hash(bound()) == hash(before)


def test_another_value_of_a_global_reaches_the_next_call():
    x, held = jnp.ones((4, 1, 2)), {"n": jnp.array(1)}
    mask = aj.predicate(lambda b, h, i, j: j < held["n"])
    for n in (1, 3):
        held["n"] = jnp.array(n)
        value = jnp.arange(4.0)[:, None, None]
        close(aj.attention(x, x, value, mask=mask), jnp.full((4, 1, 1), (n - 1) / 2))
