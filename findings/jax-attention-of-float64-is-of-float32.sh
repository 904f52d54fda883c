#!/usr/bin/env bash
# Attention of float64 arrays returns float64 that was computed in float32.
#
# Guess: with jax_enable_x64 jax.nn.dot_product_attention and flax.nnx.MultiHeadAttention of float64 inputs agree with
#   NumPy to some 1e-15, as every other function of jax does.
# Seen, jax 0.10.2 and flax 0.12.8: the result's dtype is float64 and its error 1e-7. Scores are asked for in float32
#   whatever the inputs are, and flax's attention calls jax's. A central difference of step 1e-6 then misses the
#   derivative by more than 1e-4 of it, where that of the plain formula agrees to nine digits.
# Who is hurt: whoever checks gradients or compares implementations in float64: the reference itself has seven digits.
# What helps: the formula itself, by einsum and softmax.
# Seen output:
#   jax.nn.dot_product_attention: float64 within 1e-06, and not within 1e-09
#   flax.nnx.MultiHeadAttention: float64 within 1e-06, and not within 1e-09
#   the formula in jax: float64 within 1e-14
#   a difference quotient of jax.nn.dot_product_attention: misses by more than 1e-04
#   a difference quotient of the formula: agrees to 1e-08
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
packages jax==0.10.2 jaxlib==0.10.2 flax==0.12.8

cat >digits.py <<'PYTHON'
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

jax.config.update("jax_enable_x64", True)
rng = np.random.default_rng(0)
query, key, value = (rng.normal(size=(1, 6, 2, 8)) for _ in range(3))


def formula(query, key, value, np):
    scores = np.einsum("btnh,bsnh->bnts", query, key) / 8**0.5
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("bnts,bsnh->btnh", weights / weights.sum(-1, keepdims=True), value)


def told(out, expected):
    error = float(np.abs(out - expected).max())
    within = next(bound for bound in (1e-14, 1e-9, 1e-6) if error < bound)
    print(out.dtype, f"within {within:.0e}" + (", and not within 1e-09" if within == 1e-6 else ""))


told(jax.nn.dot_product_attention(*map(jnp.asarray, (query, key, value))), formula(query, key, value, np))
layer = nnx.MultiHeadAttention(
    2, 16, decode=False, dtype=jnp.float64, param_dtype=jnp.float64, rngs=nnx.Rngs(0)
)
x = rng.normal(size=(1, 6, 16))
heads = [
    np.einsum("btd,dnh->btnh", x, part.kernel[...]) + part.bias[...] for part in (layer.query, layer.key, layer.value)
]
expected = np.einsum("btnh,nhd->btd", formula(*heads, np), layer.out.kernel[...]) + layer.out.bias[...]
told(layer(jnp.asarray(x)), expected)
told(formula(*map(jnp.asarray, (query, key, value)), jnp), formula(query, key, value, np))
way = rng.normal(size=query.shape)
for attend in (jax.nn.dot_product_attention, lambda *given: formula(*given, jnp)):

    def along(step):
        return jnp.sin(attend(query + step * way, jnp.asarray(key), jnp.asarray(value))).sum()

    missed = abs((along(1e-6) - along(-1e-6)) / 2e-6 / jax.grad(along)(0.0) - 1)
    print("agrees to 1e-08" if missed < 1e-8 else "misses by more than 1e-04" if missed > 1e-4 else missed)
PYTHON

export JAX_PLATFORMS=cpu
"$PYTHON_WITH" digits.py >seen
mapfile -t seen <seen
expect "jax.nn.dot_product_attention" "${seen[0]}" "float64 within 1e-06, and not within 1e-09"
expect "flax.nnx.MultiHeadAttention" "${seen[1]}" "float64 within 1e-06, and not within 1e-09"
expect "the formula in jax" "${seen[2]}" "float64 within 1e-14"
expect "a difference quotient of jax.nn.dot_product_attention" "${seen[3]}" "misses by more than 1e-04"
expect "a difference quotient of the formula" "${seen[4]}" "agrees to 1e-08"
