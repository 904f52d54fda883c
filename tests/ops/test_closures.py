"""What a predicate or a score function closes over may be traced, of any dtype, under every transformation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import attnjax as aj
from attnjax.ops.engines import choose
from attnjax.ops.grid import Sizes
from tests.contracts.attention_cases import close, small_blocks

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


def over_a_key(a):
    return lambda i, j: jax.random.bernoulli(jax.random.fold_in(a["key"], i * T + j), 0.7)


KINDS = (over_ids, over_a_table, over_a_scalar, over_what_jit_computes, over_a_function, over_a_key)


def batch_of(ids):
    return {"ids": jnp.asarray(ids), "key": jax.random.split(jax.random.key(3), len(ids))}


def transformed(value, x, batch):
    """A loss of x [T, N, H] and what is closed over, under everything that JAX does with it."""
    one = jax.tree.map(lambda a: a[0], batch)

    def scanned(x):
        return jax.lax.scan(lambda total, a: (total + value(x, a), None), 0.0, batch)[0]

    return {
        "value": value(x, one),
        "grad": jax.grad(value)(x, one),
        "jvp": jax.jvp(lambda x: value(x, one), (x,), (jnp.cos(x),))[1],
        "vmap of grad": jax.vmap(jax.grad(value), (None, 0))(x, batch),
        "grad of vmap": jax.grad(lambda x: jax.vmap(value, (None, 0))(x, batch).sum())(x),
        "grad of scan": jax.grad(scanned)(x),
        "remat": jax.grad(jax.checkpoint(value))(x, one),
    }


class TestClosures:
    @pytest.fixture(autouse=True)
    def _small_blocks(self, monkeypatch):
        monkeypatch.setattr(choose, "ENGINES", small_blocks())

    @pytest.mark.parametrize("engine", ["reference", "blockwise"])
    @pytest.mark.parametrize("over", KINDS, ids=lambda over: over.__name__)
    def test_every_transformation_gives_what_the_written_formula_gives(self, over, engine):
        def ours(x, a):
            rule = over(a)
            mask = aj.causal() & aj.predicate(lambda b, h, i, j: rule(i, j))
            score = aj.score_fn(lambda s, b, h, i, j: s + 2.0 * rule(j, i))
            return jnp.sin(aj.attention(x, x, x, mask=mask, score=score, implementation=engine)).sum()

        def written(x, a):
            i, j = jnp.arange(T)[:, None], jnp.arange(T)
            rule = jnp.vectorize(over(a))
            scores = jnp.einsum("tnh,snh->nts", x, x) / jnp.sqrt(H) + 2.0 * rule(j, i)
            attended = rule(i, j) & (j <= i)
            shifted = jnp.where(attended, scores - scores.max(-1, keepdims=True), -jnp.inf)
            weights = jnp.where(attended, jnp.exp(shifted), 0)
            weights = weights / jnp.maximum(weights.sum(-1, keepdims=True), 1e-30)
            return jnp.sin(jnp.einsum("nts,snh->tnh", weights, x)).sum()

        x, batch = jax.random.normal(jax.random.key(0), (T, N, H)), batch_of(IDS)
        got, want = (
            jax.jit(lambda x, batch, f=f: transformed(f, x, batch))(x, batch) for f in (ours, written)
        )
        for name in want:
            np.testing.assert_allclose(got[name], want[name], rtol=1e-4, atol=1e-5, err_msg=name)
        close(jax.grad(ours)(x, jax.tree.map(lambda a: a[0], batch)), want["grad"], 1e-4)

    @pytest.mark.parametrize("engine", ["reference", "blockwise"])
    def test_a_function_made_once_in_a_module_sees_what_the_module_holds_now(self, engine):
        class Layer(nnx.Module):
            def __init__(self):
                self.ids = nnx.Variable(jnp.asarray(IDS[0]))
                self.gain = nnx.Param(jnp.ones(()))
                self.same = aj.predicate(lambda b, h, i, j: self.ids[...][i] == self.ids[...][j])
                self.score = aj.score_fn(lambda s, b, h, i, j: s * self.gain[...])

            def __call__(self, x):
                return aj.attention(x, x, x, mask=self.same, score=self.score, implementation=engine)

        x, layer = jax.random.normal(jax.random.key(0), (T, N, H)), Layer()
        gradient = nnx.grad(lambda layer: jnp.sin(layer(x)).sum())
        compiled = nnx.jit(gradient)
        for ids, gain in zip(IDS, (1.0, 2.0), strict=True):
            layer.ids[...], layer.gain[...] = jnp.asarray(ids), jnp.asarray(gain)

            def written(gain, ids=ids):
                return jnp.sin(aj.attention(gain * x, x, x, mask=ids[:, None] == ids)).sum()

            want = jax.grad(written)(jnp.asarray(gain))
            close(compiled(layer)["gain"][...], want, 1e-4)
            close(gradient(layer)["gain"][...], want, 1e-4)


def test_at_the_size_where_the_default_engine_changes_nothing_else_does():
    def loss(x, ids):
        same = aj.predicate(lambda b, h, i, j: ids[i] == ids[j])
        return aj.attention(x, x, x, mask=aj.causal() & same).sum()

    for length in (1023, 1024):
        x, ids = jax.ShapeDtypeStruct((length, 1, 2), "float32"), jax.ShapeDtypeStruct((length,), "int32")
        assert jax.eval_shape(jax.jit(jax.grad(loss)), x, ids).shape == x.shape


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
