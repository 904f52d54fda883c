"""Bad input to the makers of masks, scores and normalisers, and to what stands beside `attention`.

That of `attention` itself is in tests/contracts/attention_bad_input.py, which every engine inherits.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj

Q, K, V = jnp.ones((2, 3, 4, 8)), jnp.ones((2, 5, 2, 8)), jnp.ones((2, 5, 2, 6))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"implementation": "flash"}, ValueError, r"implementation is 'flash': expected None or one of \["),
        (
            {"normalizer": aj.sparsemax(), "implementation": "blockwise"},
            ValueError,
            "'blockwise' can't do this: sparsemax needs whole rows",
        ),
    ],
)
def test_engines_that_cannot_be_had(options, error, message):
    for call in (aj.attention, aj.plan_attention):
        with pytest.raises(error, match=message):
            call(Q, K, V, **options)


def test_a_traced_dropout_rate_needs_a_key_too():
    with pytest.raises(ValueError, match="dropout_key is None"):
        jax.jit(lambda rate: aj.attention(Q, K, V, dropout_rate=rate))(0.1)


def test_lists_are_arrays():
    q, k, v = (np.asarray(x).tolist() for x in (Q, K, V))
    out, lse = aj.attention(q, k, v, bias=[0.0] * 5, return_lse=True)
    assert (out.shape, out.dtype, lse.shape) == ((2, 3, 4, 6), jnp.float32, (2, 4, 3))
    assert aj.attention_weights(q, k).shape == (2, 4, 3, 5)
    assert aj.merge_attention([out.tolist()], [lse.tolist()])[0].shape == out.shape


@pytest.mark.parametrize("implementation", ["threefry2x32", "rbg"])
def test_raw_keys_are_keys(implementation):
    with jax.default_prng_impl(implementation):
        raw, key = jax.random.PRNGKey(0), jax.random.key(0)
        outs = [aj.attention(Q, K, V, dropout_rate=0.5, dropout_key=k) for k in (raw, key)]
        np.testing.assert_array_equal(*outs)
        for wrong in (raw[:1], jnp.stack([raw, raw]), jnp.stack([key, key]), jnp.zeros(raw.shape, int)):
            with pytest.raises(TypeError, match="expected a key of jax"):
                aj.attention(Q, K, V, dropout_rate=0.5, dropout_key=wrong)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: aj.sliding_window(-1, 0), ValueError, "left is -1"),
        (lambda: aj.sliding_window(0, -2), ValueError, "right is -2"),
        (lambda: aj.sliding_window(1.5, 0), TypeError, "left is 1.5: expected a Python int"),
        (lambda: aj.causal(0.5), TypeError, "offset is 0.5"),
        (lambda: aj.block_diagonal(0), ValueError, "size is 0"),
        (lambda: aj.chunked_causal(-1), ValueError, "size is -1"),
        (lambda: aj.dilated(0), ValueError, "step is 0"),
        (lambda: aj.random_blocks(jax.random.key(0), 0, 1), ValueError, "size is 0"),
        (lambda: aj.neighborhood((2, 2), 3), ValueError, "window is"),
        (lambda: aj.neighborhood((2, 2), (1,)), ValueError, "expected as many sizes"),
        (lambda: aj.lengths(key=jnp.ones(2)), TypeError, "key is an array of float32: expected integers"),
        (lambda: aj.segments(jnp.ones(2)), TypeError, "query_ids is an array of float32"),
        (lambda: aj.global_tokens(jnp.ones(2)), ValueError, "indices is float32"),
        (lambda: aj.predicate(3), TypeError, "predicate got 3"),
        (lambda: aj.score_fn(3), TypeError, "score_fn got 3"),
        (
            lambda: aj.alibi(jnp.ones(4), jnp.ones(2)),
            TypeError,
            "offset is an array of float32: expected integers",
        ),
        (lambda: aj.softcap(0.0), ValueError, "softcap is 0.0"),
        (lambda: aj.alibi(jnp.ones(2, int)), TypeError, "slopes is an array of int"),
        (lambda: aj.relative_bias(jnp.ones(2)), ValueError, r"table has shape \[2\]"),
        (lambda: aj.entmax(1.0), ValueError, "alpha is 1.0: expected a number above 1"),
        (lambda: aj.softmax(jnp.ones(2, int)), TypeError, "sink is an array of int"),
        (lambda: aj.softmax("a"), TypeError, "sink is 'a': expected an array"),
        (lambda: aj.softcap(jnp.ones(2)), ValueError, r"softcap has shape \[2\]: expected a scalar"),
        (lambda: aj.softcap(jnp.zeros(())), ValueError, "softcap is 0.0: expected a number above 0"),
        (lambda: aj.softcap("a"), TypeError, "softcap is 'a': expected a number"),
        (lambda: aj.entmax("a"), TypeError, "alpha is 'a': expected a number"),
        (lambda: aj.sigmoid("a"), TypeError, "bias of sigmoid is 'a': expected an array"),
        (lambda: aj.global_tokens([1.5]), TypeError, r"indices\[0\] is 1.5: expected a Python int"),
        (lambda: aj.random_blocks(jax.random.key(0), 2, 1.5), TypeError, "count is 1.5"),
    ],
)
def test_masks_scores_and_normalisers_that_make_no_sense(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("name", ["query", "key", "value"])
def test_what_is_no_array(name):
    with pytest.raises(TypeError, match=f"{name} is None: expected an array"):
        aj.attention(**{"query": Q, "key": K, "value": V, name: None})


@pytest.mark.parametrize(
    ("key", "message"),
    [(None, "key is None"), (K[:1], r"batch axes \*B differ: .*key \[1, 5"), (K[0, 0, 0], "key has shape")],
)
def test_weights_blame_no_value(key, message):
    with pytest.raises((TypeError, ValueError), match=message) as refused:
        aj.attention_weights(Q, key)
    assert "value" not in str(refused.value)


SHOWN = {
    "block_diagonal(2, 3)": aj.block_diagonal(2, 3),
    "dilated(2) & ~causal(int32[2])": aj.dilated(2) & ~aj.causal(jnp.ones(2, jnp.int32)),
    "dilated(2, 1)": aj.dilated(2, 1),
    "global_tokens([0, 4], 2)": aj.global_tokens([0, 4], 2),
    "softmax()": aj.softmax(),
    "softmax(float32[4])": aj.softmax(jnp.ones(4)),
    "sigmoid(-1.0)": aj.sigmoid(-1.0),
    "entmax(1.5)": aj.entmax(),
    "alibi(float32[4], 0, False)": aj.alibi(jnp.ones(4)),
    "relative_bias(float32[8, 4], 128, True, 0)": aj.relative_bias(jnp.ones((8, 4))),
    "forget_gate(float32[5, 4], 0)": aj.forget_gate(jnp.ones((5, 4))),
}


@pytest.mark.parametrize("text", SHOWN)
def test_masks_scores_and_normalisers_show_what_they_are(text):
    assert repr(SHOWN[text]) == text


@pytest.mark.parametrize(
    ("rows", "message"),
    [([3], r"inside \[0, 3\)"), ([-1], "reach from -1"), (0, r"\[\]: expected integers"), ([0.5], "float")],
)
def test_rows_outside_of_the_queries(rows, message):
    with pytest.raises(ValueError, match=message):
        aj.attention_weights(Q, K, rows=rows)


def test_parts_that_do_not_merge():
    out, lse = aj.attention(Q, K, V, return_lse=True)
    with pytest.raises(ValueError, match="outs has 2 parts, lses 1"):
        aj.merge_attention([out, out], [lse])
    with pytest.raises(ValueError, match="outs has 0 parts"):
        aj.merge_attention([], [])
    with pytest.raises(ValueError, match=r"out \[1, 3, 4, 6\]: expected \[2, 3, 4, 6\] \(\*B, T, N, V\)"):
        aj.merge_attention([out, out[:1]], [lse, lse[:1]])
    with pytest.raises(ValueError, match=r"lse \[2, 4, 2\] .*: expected lse \[2, 4, 3\] \(\*B, N, T\)"):
        aj.merge_attention([out], [lse[..., :2]])
