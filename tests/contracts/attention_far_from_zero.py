"""Semantics 12: rows whose scores are all far from 0, held to a literal softmax in float64.

Queries and keys are small multiples of 1/4, so that their products are exact in every engine and an addition
of a constant leaves the same scores in all of them.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from tests.contracts.attention_cases import Engine

# One for each query: an additive mask of Hugging Face's kind or a massive activation moves its whole row.
CONSTANTS = (0.0, 100.0, -1e4, 1e4, -1e6, 1e7, -1e9, np.finfo(np.float32).min, -1e30, 1e30)
SINKS = (0.0, 1e4, -1e9, 1e30)  # One for each head: each is near the scores of some rows.
B, T, S, N, K, H, V = 1, len(CONSTANTS), 7, 4, 2, 4, 3
CASES = {
    "float32, sinks, mask": ("float32", True, aj.causal(-1) & aj.sliding_window(5, 0)),
    "float64": ("float64", False, None),
    "bfloat16, mask": ("bfloat16", False, aj.causal(1)),
}


def far_inputs(dtype):
    """Query, key, value, bias and sinks."""
    rng = np.random.default_rng(0)
    query, key, value = (rng.integers(-6, 7, s) / 4 for s in ((B, T, N, H), (B, S, K, H), (B, S, K, V)))
    bias = np.array(CONSTANTS)[:, None] + np.zeros(S)
    precise = jnp.promote_types(dtype, "float32")
    return (
        *(jnp.asarray(x, dtype) for x in (query, key, value)),
        jnp.array(bias, precise),
        jnp.array(SINKS, precise),
    )


def literal(query, key, value, bias, sink, attended, with_sink):
    """(out, lse) in float64 of the scores that the addition of the bias leaves in its dtype."""
    group = query.shape[2] // key.shape[2]
    query, key, value = (x.astype(bias.dtype) for x in (query, key, value))
    key, value = jnp.repeat(key, group, axis=2), jnp.repeat(value, group, axis=2)
    scores = (0.5 * jnp.einsum("btnh,bsnh->bnts", query, key) + bias).astype(jnp.float64)
    sink = jnp.where(with_sink, sink.astype(jnp.float64), -jnp.inf)[None, :, None, None]
    scores = jnp.where(attended, scores, -jnp.inf)
    highest = jnp.maximum(scores.max(-1, keepdims=True), sink)
    alive = attended.any(-1, keepdims=True)
    highest = jax.lax.stop_gradient(jnp.where(alive, highest, 0))
    weights = jnp.where(attended, jnp.exp(scores - highest), 0)
    # A row without keys has no sink either.
    total = weights.sum(-1, keepdims=True) + jnp.exp(jnp.where(alive, sink - highest, 0))
    out = jnp.einsum("bnts,bsnv->btnv", weights / total, value.astype(jnp.float64))
    return out, jnp.where(alive, highest + jnp.log(total), -jnp.inf)[..., 0]


class FarFromZero(Engine):
    def functions(self, case):
        """The inputs of a case, and of the engine and the literal softmax a loss, with (out, lse) beside."""
        dtype, with_sink, mask = CASES[case]
        attended = jnp.ones((B, N, T, S), bool)
        if mask is not None:
            attended = mask.materialize(T, S, batch=(B,), heads=N)
        # Fixed numbers; of lse only its derivative counts.
        shape = jnp.arange(B * T * N * V).reshape(B, T, N, V)
        weigh_out, weigh_lse = jnp.sin(shape), jnp.cos(shape[..., 0].mT)

        def loss(results):
            out, lse = results
            lse = jnp.where(jnp.isneginf(lse), 0, lse - jax.lax.stop_gradient(lse))
            return jnp.sum(weigh_out * out + out**2 / 8) + jnp.sum(weigh_lse * lse), results

        def engine(*args):
            normalizer = aj.softmax(args[4]) if with_sink else None
            options = {"mask": mask, "bias": args[3], "normalizer": normalizer, "scale": 0.5}
            return loss(self.attend(*args[:3], return_lse=True, **options))

        return far_inputs(dtype), engine, lambda *args: loss(literal(*args, attended, with_sink))

    @pytest.mark.parametrize("case", CASES)
    def test_12_whatever_constant_is_added_rows_are_the_softmax_of_what_it_leaves(self, case, x64):
        args, *functions = self.functions(case)
        (got, out), (expected, wanted) = (
            jax.jit(jax.grad(f, tuple(range(5)), has_aux=True))(*args) for f in functions
        )
        exact = {"float32": 2e-6, "float64": 1e-14, "bfloat16": 2e-2}[args[0].dtype.name]
        for a, b in zip((*got, out[0]), (*expected, wanted[0]), strict=True):
            a = np.asarray(a, np.float64)
            np.testing.assert_allclose(a, b, rtol=exact, atol=exact * np.abs(b).max())
        np.testing.assert_allclose(out[1], wanted[1], rtol=1e-6)

    def test_12_forward_mode_and_second_order_too(self, x64):
        args, *functions = self.functions("float32, sinks, mask")
        direction = tuple(jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape) for x in args)

        def derivatives(f):
            gradient = jax.grad(lambda *args: f(*args)[0], (0, 1, 4))
            return jax.jit(
                lambda: [jax.jvp(g, args, direction)[1] for g in (lambda *x: f(*x)[0], gradient)]
            )()

        for got, expected in zip(*(jax.tree.leaves(derivatives(f)) for f in functions), strict=True):
            np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6 * np.abs(expected).max())
