"""Semantics 1 to 8 and 10: what comes out, and what masked inputs must not reach."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from tests.contracts import attention_oracle as oracle
from tests.contracts.attention_cases import SHAPES, Engine, close, inputs, normal
from tests.daily import daily

SHAPE = SHAPES[0]
AS_USERS = (pytest.mark.slow, pytest.mark.optimised)


def masks_for(shape):
    b, t, s = shape[:3]
    return {
        "none": None,
        "causal": aj.causal(max(0, s - t)),
        "window": aj.sliding_window(2, 1),
        "lengths": aj.lengths(query=jnp.full(b, max(1, t - 2)), key=jnp.arange(b) + max(1, s - 4)),
        "segments": aj.segments(jnp.arange(t) // 3, jnp.arange(s) // 4) | aj.prefix(1),
        "composed": aj.causal(1) & ~aj.dilated(3) | aj.global_tokens([0]),
        "dense": aj.dense(normal(1, b, 1, t, s) > 0),
        "by data": aj.interval(jnp.arange(t) // 2, jnp.arange(t) + 2)
        | aj.blocks(normal(1, shape[3], -(-t // 3), -(-s // 2)) > 0.5, (3, 2)),
        "relabelled": aj.relabel(aj.causal() | aj.prefix(1), jnp.arange(t)[::-1], jnp.arange(s) * 5 % s),
        "predicate": aj.predicate(lambda b, h, i, j: (i + j + h) % 3 != b),
    }


class Values(Engine):
    @pytest.mark.parametrize(
        ("shape", "name"),
        daily(
            [
                *((SHAPE, name) for name in masks_for(SHAPE)),
                *((shape, name) for shape in SHAPES[1:] for name in ("causal", "segments", "predicate")),
            ],
            [*((SHAPE, name) for name in masks_for(SHAPE)), *((shape, "segments") for shape in SHAPES[1:])],
        ),
    )
    def test_1_2_3_the_formula_holds_under_every_mask(self, shape, name):
        args, mask = inputs(shape), masks_for(shape)[name]
        b, t, s, n = shape[:4]
        attended = np.ones((b, n, t, s)) if mask is None else mask.materialize(t, s, batch=(b,), heads=n)
        out, lse = self.attend(*args, mask=mask, return_lse=True)
        expected_out, expected_lse = oracle.attend(*args, np.asarray(attended))
        close(out, expected_out)
        close(lse, expected_lse)

    def test_1_scores_come_in_order_then_bias_then_mask_then_normaliser(self):
        b, t, s, n = SHAPE[:4]
        args, bias, slopes = inputs(SHAPE), normal(2, b, n, t, s), jnp.arange(1.0, n + 1)
        attended = aj.causal(3).materialize(t, s, batch=(b,), heads=n)
        options = {"mask": aj.causal(3), "bias": bias, "scale": 0.3, "normalizer": aj.softmax(slopes)}

        def expected(score):
            return oracle.attend(
                *args, np.asarray(attended), scale=0.3, bias=np.asarray(bias), sink=slopes, score=score
            )

        out, lse = self.attend(*args, score=aj.softcap(2.0) >> aj.alibi(slopes), return_lse=True, **options)
        first = expected(lambda s, b, h, i, j: 2 * np.tanh(s / 2) - (h + 1) * abs(i - j))
        close(out, first[0])
        close(lse, first[1])
        other = self.attend(*args, score=[aj.alibi(slopes), aj.softcap(2.0)], **options)
        close(other, expected(lambda s, b, h, i, j: 2 * np.tanh((s - (h + 1) * abs(i - j)) / 2))[0])

    def test_2_a_boolean_array_is_a_mask_and_broadcasts(self):
        b, t, s, n = SHAPE[:4]
        array = normal(3, t, s) > 0
        expected = oracle.attend(*inputs(SHAPE), np.broadcast_to(array, (b, n, t, s)))[0]
        close(self.attend(*inputs(SHAPE), mask=array), expected)

    def test_3_causality_is_by_position_with_the_cached_keys_as_offset(self):
        query, key, value = inputs((1, 6, 6, 2, 1, 4, 4))
        mask = aj.causal() & aj.sliding_window(2, 0)
        whole = self.attend(query, key, value, mask=mask)

        @jax.jit
        def step(query, cached):
            mask = aj.causal(cached) & aj.sliding_window(2, 0, cached)
            return self.attend(query, key, value, mask=mask)

        for i in range(6):
            close(step(query[:, i : i + 1], jnp.array(i)), whole[:, i : i + 1])

    def test_3_a_traced_offset_per_batch_element_does_not_recompile(self):
        args = inputs(SHAPE)
        run = jax.jit(lambda offset: self.attend(*args, mask=aj.causal(offset)))
        for offsets in ([0, 3], [2, 1]):
            masks = [aj.causal(o).materialize(7, 10, heads=4) for o in offsets]
            close(run(jnp.array(offsets)), oracle.attend(*args, np.stack(masks))[0])
        assert run._cache_size() == 1

    def test_4_rows_without_keys_give_zero_minus_inf_and_zero_gradients(self):
        query, key, value = inputs(SHAPE)
        mask = aj.lengths(query=jnp.array([7, 0]), key=jnp.array([0, 4])) | aj.predicate(
            lambda b, h, i, j: (b == 0) & (i == 2)
        )
        options = {"mask": mask, "normalizer": aj.softmax(jnp.ones(4)), "score": aj.softcap(3.0)}
        out, lse = self.attend(query, key, value, return_lse=True, **options)
        dq, dk, dv = self.gradients((query, key, value), **options)
        rest = np.array([0, 1, 3, 4, 5, 6])
        assert not np.any(out[1])
        assert not np.any(out[0, rest])
        assert np.all(np.isneginf(lse[1]))
        assert np.all(np.isneginf(lse[0][:, rest]))
        assert np.isfinite(lse[0, :, 2]).all()
        assert np.any(out[0, 2])
        assert not np.any(dq[1])
        assert not np.any(dq[0, rest])
        assert not np.any(dk[1])
        assert not np.any(dv[1])
        assert all(np.isfinite(x).all() for x in (dq, dk, dv))
        assert np.any(dq[0, 2])

    @pytest.mark.parametrize("nonfinite", [np.nan, np.inf])
    def test_5_what_is_masked_for_all_may_hold_anything(self, nonfinite):
        args, lengths = inputs(SHAPE), jnp.array([5, 8])  # Inside a block.
        b, t, s, n = SHAPE[:4]
        bad = (jnp.arange(s) >= lengths[:, None])[:, :, None, None]
        spoilt = (args[0], *(jnp.where(bad, nonfinite, x) for x in args[1:]))
        bias = normal(4, b, n, t, s)
        options = {"mask": aj.lengths(key=lengths), "score": aj.softcap(4.0)}
        dirty_bias = jnp.where(bad[:, None, :, :, 0].swapaxes(-1, -2), nonfinite, bias)
        clean = jax.jit(lambda *a: self.attend(*a[:3], bias=a[3], **options))
        np.testing.assert_array_equal(clean(*spoilt, dirty_bias), clean(*args, bias))

        def loss(query, key, value, bias):
            return jnp.sum(jnp.sin(clean(query, key, value, bias)))

        gradient = jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3)))
        for got, expected in zip(gradient(*spoilt, dirty_bias), gradient(*args, bias), strict=True):
            np.testing.assert_array_equal(got, expected)

    def test_5_nan_of_masked_keys_does_not_reach_the_gradient_to_a_traced_scale(self):
        # 5: inside a block, so that a block with masked keys is computed.
        args, bad = inputs(SHAPE), (jnp.arange(SHAPE[2]) >= 5)[None, :, None, None]
        dirty = (args[0], *(jnp.where(bad, jnp.nan, x) for x in args[1:]))

        def loss(scale, *args):
            return jnp.sum(jnp.sin(self.attend(*args, mask=aj.lengths(key=jnp.array([5, 5])), scale=scale)))

        gradient = jax.jit(jax.grad(loss))
        np.testing.assert_array_equal(gradient(0.3, *dirty), gradient(0.3, *args))

    @pytest.mark.parametrize("which", [0, 1, 2])
    def test_5_nan_reaches_no_row_that_does_not_attend_it_although_others_do(self, which):
        args = inputs((1, 7, 7, 2, 1, 4, 4))
        dirty = tuple(x.at[0, 3].set(jnp.nan) if i == which else x for i, x in enumerate(args))
        options = {"mask": aj.causal()}
        clean_rows = np.array([0, 1, 2] if which else [0, 1, 2, 4, 5, 6])

        def loss(*args):
            out = self.attend(*args, **options)
            return jnp.sum(jnp.sin(out[:, :3])), out

        gradient = jax.jit(jax.grad(loss, has_aux=True))
        (got, out), (expected, clean) = gradient(*dirty), gradient(*args)
        close(out[:, clean_rows], clean[:, clean_rows])
        assert np.isnan(np.delete(out, clean_rows, axis=1)).any(axis=-1).all()
        # Keys 0 to 2 share row 3 or later rows with the NaN, so only the queries' gradients are free of it.
        close(got[:, :3], expected[:, :3])

    @pytest.mark.parametrize("which", [0, 1, 2])
    def test_5_every_row_that_attends_nan_is_lost_in_blocks_without_a_mask_too(self, which):
        args = inputs((1, 8, 9, 2, 1, 4, 4))
        # Blocks of 4 × 3: that of key 0 on the later rows is whole and holds no masked pair.
        dirty = tuple(x.at[0, 0].set(jnp.nan) if i == which else x for i, x in enumerate(args))
        out, lse = self.attend(*dirty, mask=aj.causal(), return_lse=True)
        lost = np.isnan(out).all(axis=(0, 2, 3))
        np.testing.assert_array_equal(lost, np.arange(8) == 0 if which == 0 else np.ones(8, bool))
        np.testing.assert_array_equal(np.isnan(lse).all(axis=(0, 1)), lost)

    def test_6_a_score_function_may_do_anything_at_masked_pairs(self):
        args = inputs((1, 7, 7, 2, 1, 4, 4))
        rate, table = jnp.array(0.7), jnp.array([jnp.nan, 1.0, 2.0])

        def wild(s, b, h, i, j, rate):  # NaN above the diagonal, in value and derivative.
            return s * jnp.sqrt(i - j + 1.0) + rate * jnp.log(i - j + 1.0)

        def tame(s, b, h, i, j, rate):
            d = jnp.maximum(i - j, 0) + 1.0
            return s * jnp.sqrt(d) + rate * jnp.log(d)

        def loss(fn):
            def of(rate, *args):
                out = self.attend(*args, mask=aj.causal(-1), score=aj.score_fn(fn, rate))
                return jnp.sum(jnp.sin(out))

            return jax.jit(jax.value_and_grad(of, argnums=(0, 1, 2, 3)))(rate, *args)

        jax.tree.map(close, loss(wild), loss(tame))
        by_row = aj.score_fn(lambda s, b, h, i, j, table: s * table[jnp.minimum(i, 2)], table)
        assert np.isfinite(self.attend(*args, mask=~aj.prefix(7) | aj.causal(-1), score=by_row)[:, 1:]).all()

    @pytest.mark.optimised
    @pytest.mark.parametrize(
        ("dtype", "tolerance"), daily([(jnp.bfloat16, 2**-7), (jnp.float16, 2**-10)], [(jnp.bfloat16, 2**-7)])
    )
    def test_7_sixteen_bit_inputs_are_accumulated_in_float32(self, dtype, tolerance):
        args = [np.asarray(x, dtype) for x in inputs(SHAPE)]
        out, lse = jax.jit(lambda *args: self.attend(*args, mask=aj.causal(3), return_lse=True))(*args)
        attended = np.broadcast_to(np.tri(7, 10, 3, bool), (2, 4, 7, 10))
        expected_out, expected_lse = oracle.attend(*(np.asarray(x, np.float64) for x in args), attended)
        assert out.dtype == dtype
        assert lse.dtype == jnp.float32
        close(lse, expected_lse)
        # One rounding of the output: half a unit in the last place of the largest component.
        assert (
            np.max(np.abs(np.asarray(out, np.float64) - expected_out))
            < tolerance * np.abs(expected_out).max()
        )

    def test_7_float64_stays_float64(self):
        with jax.enable_x64(True):
            args = inputs(SHAPE, jnp.float64)
            out, lse = self.attend(
                *args, mask=aj.causal(3), return_lse=True, normalizer=aj.softmax(jnp.ones(4))
            )
            attended = np.asarray(aj.causal(3).materialize(7, 10, batch=(2,), heads=4))
            expected = oracle.attend(*args, attended, sink=np.ones(4))
            assert out.dtype == lse.dtype == jnp.float64
            close(out, expected[0], 1e-12)
            close(lse, expected[1], 1e-12)

    def test_8_dropout_is_on_the_weights_and_the_same_for_every_engine(self):
        args, key = inputs(SHAPE), jax.random.key(5)
        options = {"mask": aj.causal(3), "dropout_key": key}
        traced = jax.jit(lambda rate: self.attend(*args, dropout_rate=rate, **options))
        reference = aj.attention(*args, dropout_rate=0.4, implementation="reference", **options)
        close(traced(0.4), reference)
        close(self.attend(*args, dropout_rate=0.4, **options), reference)
        close(traced(0.0), self.attend(*args, mask=aj.causal(3)))
        assert not np.allclose(reference, traced(0.0))

    def test_8_dropout_keeps_one_minus_rate_and_scales_it(self):
        query = jnp.zeros((1, 64, 2, 1))
        key, value = jnp.zeros((1, 64, 2, 1)), jnp.broadcast_to(jnp.eye(64)[None, :, None], (1, 64, 2, 64))
        kept = 64 * self.attend(query, key, value, dropout_rate=0.25, dropout_key=jax.random.key(1))
        np.testing.assert_allclose(np.unique(np.round(kept, 4)), [0, 1.3333], atol=1e-4)
        assert abs(float(jnp.mean(kept > 0)) - 0.75) < 4 * np.sqrt(0.25 * 0.75 / kept.size)
        assert not np.array_equal(kept[:, :, 0], kept[:, :, 1])

    @pytest.mark.parametrize(
        "compiled",
        [
            "with few optimisations",
            pytest.param("as users do", marks=[pytest.mark.slow, pytest.mark.optimised]),
        ],
    )
    def test_10_the_same_inputs_give_the_same_bits(self, compiled):
        def loss(seed, *args):
            options = {"mask": aj.causal(3), "dropout_rate": 0.3, "dropout_key": jax.random.key(seed)}
            out = self.attend(*args, **options)
            return jnp.sum(jnp.sin(out)), out

        run = jax.jit(jax.grad(loss, argnums=(1, 2, 3), has_aux=True))
        jax.tree.map(np.testing.assert_array_equal, *(run(1, *inputs(SHAPE)) for _ in range(2)))

    @pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
    def test_any_number_of_batch_axes(self, batch):
        query, key, value = (normal(i, *batch, *s) for i, s in enumerate([(5, 4, 4), (6, 2, 4), (6, 2, 3)]))
        limits = jnp.full(batch[-1:], 4)
        out, lse = self.attend(query, key, value, mask=aj.lengths(key=limits), return_lse=True)
        flat = (x.reshape(-1, *x.shape[-3:]) for x in (query, key, value))
        attended = np.broadcast_to(np.arange(6) < 4, (int(np.prod(batch)), 4, 5, 6))
        expected = oracle.attend(*flat, attended)
        close(out, expected[0].reshape(*batch, 5, 4, 3))
        close(lse, expected[1].reshape(*batch, 4, 5))

    @pytest.mark.parametrize(("b", "t", "s"), [(2, 0, 4), (2, 3, 0), (2, 0, 0), (0, 3, 4)])
    def test_nothing_to_attend_under_any_rules(self, b, t, s):
        args = jnp.ones((b, t, 2, 4)), jnp.ones((b, s, 1, 4)), jnp.ones((b, s, 1, 3))
        scores = aj.score_fn(lambda s, b, h, i, j: 2 * s) >> aj.forget_gate(jnp.zeros((b, s, 2)))
        for options in ({}, {"mask": aj.causal(), "score": scores}):
            out, lse = self.attend(*args, return_lse=True, **options)
            assert out.shape == (b, t, 2, 3)
            assert lse.shape == (b, 2, t)
            assert not np.any(out)
            assert np.all(np.isneginf(lse))

    def test_a_row_without_keys_holds_no_infinity_that_was_not_asked_for(self):
        args = inputs((1, 5, 5, 2, 1, 4, 4))

        def loss(*args):
            options = {"mask": aj.causal(-1), "normalizer": aj.softmax(jnp.ones(2))}
            return jnp.sum(self.attend(*args, **options) ** 2)

        with jax.debug_infs(True):
            loss(*args)
            jax.grad(loss, argnums=(0, 1, 2))(*args)

    def test_large_scores_neither_overflow_nor_vanish(self):
        query, key, value = inputs(SHAPE)
        query = query * 1e4
        attended = np.asarray(aj.causal(3).materialize(7, 10, batch=(2,), heads=4))
        out, lse = self.attend(query, key, value, mask=aj.causal(3), return_lse=True)
        expected = oracle.attend(query, key, value, attended)
        np.testing.assert_allclose(lse, expected[1], rtol=1e-5)
        close(out, expected[0], 1e-1)
