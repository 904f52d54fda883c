"""Semantics 9: gradients to everything, forward mode, second order, and the transformations of JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from tests.contracts.attention_cases import SHAPES, Engine, close, inputs, normal

SHAPE = SHAPES[0]


class Derivatives(Engine):
    def test_9_gradients_reach_everything_and_equal_the_reference(self):
        b, t, s, n = SHAPE[:4]
        params = dict(
            bias=normal(6, b, 1, 1, s),
            table=normal(7, 8, n),
            gates=-jnp.abs(normal(8, b, s, n)),
            slopes=normal(9, n),
            rate=jnp.array(0.3),
            sink=normal(10, n),
            scale=jnp.array(0.4),
            pairs=normal(11, n, t, s),
        )

        def loss(engine, args, p):
            shift = p["rate"] * 2  # closed over, not passed
            scores = [
                aj.relative_bias(p["table"]),
                aj.forget_gate(p["gates"]),
                aj.alibi(p["slopes"]),
                aj.score_fn(lambda s, b, h, i, j, rate: s * jnp.exp(-rate * h) + shift * j, p["rate"]),
                aj.pair_bias(p["pairs"]),
                aj.softcap(4.0),
            ]
            out, lse = aj.attention(
                *args,
                mask=aj.causal(2) & aj.lengths(key=jnp.array([10, 6])),
                bias=p["bias"],
                score=scores,
                normalizer=aj.softmax(p["sink"]),
                scale=p["scale"],
                dropout_rate=0.2,
                dropout_key=jax.random.key(3),
                return_lse=True,
                implementation=engine,
            )
            return jnp.sum(jnp.sin(out)) + jnp.sum(jnp.cos(lse))

        got, expected = (
            jax.jit(jax.grad(lambda a, p, e=engine: loss(e, a, p), argnums=(0, 1)))(inputs(SHAPE), params)
            for engine in (self.engine, "reference")
        )
        jax.tree.map(lambda a, b: close(a, b, 2e-5), got, expected)
        assert all(np.any(x) for x in jax.tree.leaves(got))

    def test_9_gradients_equal_finite_differences_in_float64(self):
        with jax.enable_x64(True):
            args = inputs((1, 5, 6, 2, 1, 3, 2), jnp.float64)

            @jax.jit
            def loss(*args):
                out, lse = self.attend(*args, mask=aj.causal(1), return_lse=True)
                return jnp.sum(jnp.sin(out)) + jnp.sum(jnp.cos(lse))

            direction = tuple(jnp.cos(x) for x in args)
            slope = jax.jvp(loss, args, direction)[1]
            ends = [loss(*(x + e * d for x, d in zip(args, direction, strict=True))) for e in (1e-5, -1e-5)]
            close(slope, (ends[0] - ends[1]) / 2e-5, 1e-8)
            gradient = jax.grad(loss, argnums=(0, 1, 2))(*args)
            close(sum(jnp.vdot(g, d) for g, d in zip(gradient, direction, strict=True)), slope, 1e-10)

    @pytest.mark.parametrize(
        "normalizer", [aj.softmax(), pytest.param(aj.sigmoid(-1.0), marks=pytest.mark.slow)]
    )
    def test_9_second_order_equals_finite_differences(self, normalizer):
        with jax.enable_x64(True):
            args = inputs((1, 4, 5, 1, 1, 2, 2), jnp.float64)

            def loss(key):
                return jnp.sum(
                    self.attend(args[0], key, args[2], mask=aj.causal(2), normalizer=normalizer) ** 2
                )

            flat = jax.jit(jax.hessian(loss))(args[1]).reshape(10, 10)
            step = 1e-5 * jnp.eye(10).reshape(10, *args[1].shape)
            gradient = jax.jit(jax.vmap(lambda d: jax.grad(loss)(args[1] + d).ravel()))
            close(flat, (gradient(step) - gradient(-step)) / 2e-5, 1e-6)
            close(flat, flat.T, 1e-10)

    def test_9_vmap_scan_remat_and_jit_compose(self):
        args, key = inputs(SHAPE), jax.random.key(0)
        single = [tuple(x[b] for x in args) for b in range(2)]
        ids = jnp.array([[0, 0, 1, 1, 1, 2, 2, 2, 2, 2], [0] * 5 + [1] * 5])

        def one(query, key, value, ids):
            return self.attend(query, key, value, mask=aj.segments(ids[:7], ids))

        def loss(query, key, value, ids):
            return jnp.sum(jnp.sin(jax.checkpoint(one)(query, key, value, ids)))

        grad = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))
        expected = [grad(*x, i) for x, i in zip(single, ids, strict=True)]
        mapped = jax.jit(jax.vmap(grad))(*args, ids)
        _, scanned = jax.jit(lambda xs: jax.lax.scan(lambda c, x: (c, grad(*x)), key, xs))((*args, ids))
        for b in range(2):
            jax.tree.map(lambda m, s, e, b=b: (close(m[b], e), close(s[b], e)), mapped, scanned, expected[b])

    def test_9_forward_mode_reaches_bias_sink_and_score_parameters(self):
        with jax.enable_x64(True):
            args = inputs((1, 4, 5, 2, 1, 3, 2), jnp.float64)
            params = {"bias": normal(13, 2, 4, 5), "sink": normal(14, 2), "rate": jnp.array(0.3)}
            params = jax.tree.map(lambda x: x.astype(jnp.float64), params)

            @jax.jit
            def loss(p):
                score = aj.score_fn(lambda s, b, h, i, j, rate: s * jnp.exp(-rate * j), p["rate"])
                options = {"bias": p["bias"], "normalizer": aj.softmax(p["sink"]), "score": score}
                return jnp.sum(jnp.sin(self.attend(*args, mask=aj.causal(1), **options)))

            gradient = jax.jit(jax.grad(loss))(params)
            forward = jax.jit(lambda p, direction: jax.jvp(loss, (p,), (direction,))[1])
            for name in params:
                direction = jax.tree.map(jnp.zeros_like, params) | {name: jnp.cos(params[name])}
                slope = forward(params, direction)
                close(slope, jnp.vdot(gradient[name], direction[name]), 1e-10)
                ends = [
                    loss(jax.tree.map(lambda x, d, e=e: x + e * d, params, direction)) for e in (1e-5, -1e-5)
                ]
                close(slope, (ends[0] - ends[1]) / 2e-5, 1e-8)
