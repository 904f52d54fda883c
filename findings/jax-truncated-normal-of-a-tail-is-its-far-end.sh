#!/usr/bin/env bash
# Draws of a normal distribution truncated to a tail are all the far end of the interval.
#
# Guess: jax.random.truncated_normal(key, 5.5, 10) draws from there with the tail's density, so about 5.67 on average,
#   with fewer digits than elsewhere.
# Seen, jax 0.10.2 in float32: of 100,000 draws between 5 and 10 ten are different ones, and between 5.5 and 10 each one
#   is 9.999999, where the density is e⁻³⁵ of what it is at 5.5. It inverts the error function, which is 1 there.
#   In float64 the same happens between 8.5 and 10.
# Who is hurt: whoever draws rare events (importance sampling, noise beyond a threshold): the draws lie in the range that was
#   asked for, so a check of the range passes.
# What helps: -scipy.special.ndtri of a uniform number times the tail's mass, which keeps its digits; or draws that are
#   turned down (Robert, 1995).
# Seen output:
#   different draws between 5 and 10: 10
#   mean of the draws between 5.5 and 10: 10.00
#   mean by the inverse of the tail's mass: 5.67
#   mean of the draws between 8.5 and 10 in float64: 10.00
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
packages jax==0.10.2 jaxlib==0.10.2

cat >tail.py <<'PYTHON'
import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri

key, count = jax.random.key(0), (100_000,)
print(len(set(jax.random.truncated_normal(key, 5.0, 10.0, count).tolist())))
print(f"{jax.random.truncated_normal(key, 5.5, 10.0, count).mean():.2f}")
print(f"{-ndtri(jax.random.uniform(key, count, minval=1e-9) * ndtr(-5.5)).mean():.2f}")
jax.config.update("jax_enable_x64", True)
print(f"{jax.random.truncated_normal(key, 8.5, 10.0, count, jnp.float64).mean():.2f}")
PYTHON

export JAX_PLATFORMS=cpu
"$PYTHON_WITH" tail.py >seen
mapfile -t seen <seen
expect "different draws between 5 and 10" "${seen[0]}" 10
expect "mean of the draws between 5.5 and 10" "${seen[1]}" 10.00
expect "mean by the inverse of the tail's mass" "${seen[2]}" 5.67
expect "mean of the draws between 8.5 and 10 in float64" "${seen[3]}" 10.00
