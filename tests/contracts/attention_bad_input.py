"""Semantics 11: bad input is one clear error that names the argument, before anything is computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from tests.contracts.attention_cases import Engine

Q, K, V = jnp.ones((2, 3, 4, 8)), jnp.ones((2, 5, 2, 8)), jnp.ones((2, 5, 2, 6))


class BadInput(Engine):
    @pytest.mark.parametrize(
        ("args", "message"),
        [
            ((jnp.ones((3, 8)), K, V), r"query has shape \[3, 8\]: expected 3 axes or more|at least 3 axes"),
            ((Q[:1], K, V), r"batch axes \*B differ: query \[1, 3, 4, 8\]"),
            ((Q, K[:, :4], V), r"key and value differ in S or K: .*key \[2, 4, 2, 8\]"),
            ((Q, K[:, :, :1], V), r"key and value differ in S or K"),
            ((Q, K[..., :7], V), r"one head size H .*key \[2, 5, 2, 7\]"),
            ((Q[:, :, :3], K, V), r"N = 3 query heads are not divisible by K = 2"),
        ],
    )
    def test_11_shapes_that_disagree(self, args, message):
        with pytest.raises(ValueError, match=message):
            self.attend(*args)

    @pytest.mark.parametrize("name", ["query", "key", "value"])
    def test_11_integer_inputs(self, name):
        args = {"query": Q, "key": K, "value": V}
        args[name] = args[name].astype(jnp.int32)
        with pytest.raises(TypeError, match=f"{name} is an array of int32: expected floating point"):
            self.attend(**args)

    @pytest.mark.parametrize("name", ["query", "key", "value", "bias"])
    def test_11_inputs_of_8_bits(self, name):
        args = {"query": Q, "key": K, "value": V, "bias": jnp.zeros((3, 5))}
        args[name] = args[name].astype(jnp.float8_e4m3fn)
        with pytest.raises(TypeError, match=f"{name} is an array of float8_e4m3fn: expected 16 bits or more"):
            self.attend(**args)

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            (
                {"mask": jnp.ones((3, 4), bool)},
                ValueError,
                r"mask has shape \[3, 4\].*\[2, 4, 3, 5\] \(\*B, N, T, S\)",
            ),
            ({"mask": jnp.ones((3, 5))}, TypeError, "mask is an array of float32: expected bool"),
            ({"mask": "causal"}, TypeError, "mask is 'causal': expected a mask"),
            (
                {"mask": aj.segments(jnp.zeros(4, int), jnp.zeros(5, int))},
                ValueError,
                r"query_ids has shape \[4\]",
            ),
            (
                {"mask": aj.lengths(key=jnp.ones(3, int))},
                ValueError,
                r"lengths key has shape \[3\].*\[2\] \(\*B\)",
            ),
            (
                {"mask": aj.interval(jnp.zeros(3, int), jnp.zeros(4, int))},
                ValueError,
                r"interval stop has shape \[4\]: expected \[2, 3\] \(\*B, T\)",
            ),
            (
                {"mask": aj.blocks(np.ones((3, 2), bool), 2)},
                ValueError,
                r"array of blocks has shape \[3, 2\].*\[2, 4, 2, 3\] \(\*B, N, ⌈T/2⌉, ⌈S/2⌉\)",
            ),
            ({"mask": aj.relabel(aj.causal(), np.arange(3))}, ValueError, r"key_positions has shape \[3\]"),
            ({"mask": aj.neighborhood((2, 2), 1)}, ValueError, "is for 4 tokens: got T=3 and S=5"),
            (
                {"mask": aj.predicate(lambda b, h, q, k: q - k)},
                TypeError,
                "predicate gives .*expected a bool",
            ),
            ({"bias": jnp.ones((4, 3, 4))}, ValueError, r"bias has shape \[4, 3, 4\]"),
            ({"bias": jnp.ones((3, 5), bool)}, TypeError, "bias is an array of bool"),
            ({"score": lambda s: s}, TypeError, r"score is .*score_fn\(fn\)"),
            ({"score": aj.alibi(jnp.ones(3))}, ValueError, r"slopes has shape \[3\]: expected \[4\] \(N\)"),
            ({"score": aj.relative_bias(jnp.ones((8, 3)))}, ValueError, r"table has shape \[8, 3\]"),
            ({"score": aj.forget_gate(jnp.ones((2, 3, 4)))}, ValueError, r"log_f has shape .*\[2, 5, 4\]"),
            (
                {"score": aj.score_fn(lambda s, b, h, i, j: s[None])},
                ValueError,
                r"score function gives .*shape \[\]",
            ),
            ({"score": aj.score_fn(lambda s, b, h, i, j: i)}, TypeError, "gives int32 for .*float32"),
            ({"normalizer": "softmax"}, TypeError, "normalizer is 'softmax'"),
            ({"normalizer": aj.softmax(jnp.ones(3))}, ValueError, r"sink has shape \[3\]: expected \[4\]"),
            ({"normalizer": aj.sigmoid(jnp.ones(3))}, ValueError, r"bias of sigmoid has shape \[3\]"),
            (
                {"normalizer": aj.sigmoid(jnp.ones((1, 4)))},
                ValueError,
                r"bias of sigmoid .*\[\] or \[4\] \(N\)",
            ),
            ({"bias": "a"}, TypeError, "bias is 'a': expected an array"),
            ({"scale": "a"}, TypeError, "scale is 'a': expected a number"),
            ({"dropout_rate": "a"}, TypeError, "dropout_rate is 'a': expected a number"),
            ({"dropout_rate": 0.1, "dropout_key": 3}, TypeError, "dropout_key is 3: expected a key"),
            (
                {"dropout_rate": 0.1, "dropout_key": jnp.ones(3)},
                TypeError,
                "dropout_key is .*: expected a key",
            ),
            ({"precision": "lots"}, ValueError, "precision is 'lots': expected one that"),
            ({"msk": 1}, TypeError, r"attention.* got an unexpected keyword argument 'msk'"),
            ({"scale": jnp.ones(4)}, ValueError, r"scale has shape \[4\]: expected a scalar"),
            ({"dropout_rate": 0.1}, ValueError, "dropout_key is None"),
            ({"dropout_rate": 1.0, "dropout_key": jax.random.key(0)}, ValueError, "dropout_rate is 1.0"),
            ({"dropout_rate": -0.1, "dropout_key": jax.random.key(0)}, ValueError, "dropout_rate is -0.1"),
            ({"dropout_rate": np.ones(2)}, ValueError, r"dropout_rate has shape \[2\]"),
            ({"normalizer": aj.sigmoid(), "normalize": False}, ValueError, "normalize is False with sigmoid"),
            ({"return_lse": True, "normalize": False}, ValueError, "return_lse is True with normalize=False"),
            ({"normalizer": aj.sigmoid(), "return_lse": True}, ValueError, "return_lse is True with sigmoid"),
        ],
    )
    def test_11_options_that_do_not_fit(self, options, error, message):
        with pytest.raises(error, match=message):
            self.attend(Q, K, V, **options)
        if "return_lse" not in options:
            with pytest.raises(error, match=message):
                aj.plan_attention(Q, K, V, **options)
