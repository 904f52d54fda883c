#!/usr/bin/env bash
# Adam's mean of squared gradients never falls where parameters are in bfloat16: what was large once is divided by for good.
#
# Guess: with gradients that fall from 10 to 0.01 the mean of squares falls to e⁻³ within 3000 steps (its decay is 0.999),
#   in bfloat16 as in float32, if less exactly.
# Seen, optax 0.2.8 with jax 0.10.2: in bfloat16 it stands still, at 22.5 after 3000 steps; the moments are kept in the
#   dtype of the parameters, and 0.999 of a number is the number itself there. Each step is a fifth of what it is in
#   float32, and never grows again.
# Who is hurt: whoever keeps parameters in bfloat16 and trains with Adam's usual b2: gradients of the first steps, the
#   greatest ones, hold the learning rate down for the whole run. `mu_dtype` is for the other moment; there is none for this.
# What helps: parameters in float32 that are cast in the model, or gradients and `init` given float32 copies.
# Seen output:
#   mean of squares in float32, at first and after 3000 steps: 18.14 0.9016
#   mean of squares in bfloat16, at first and after 3000 steps: 22.5 22.5
#   step in bfloat16 by that in float32: 0.2
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
packages optax==0.2.8 jax==0.10.2 jaxlib==0.10.2

cat >moments.py <<'PYTHON'
import jax
import jax.numpy as jnp
import optax

adam = optax.adam(1e-3)


@jax.jit
def after(state, gradients):
    def step(state, gradient):
        update, state = adam.update(gradient, state)
        return state, update

    state, updates = jax.lax.scan(step, state, gradients)
    return state, updates[-1].astype(jnp.float32)


steps = []
for dtype in ("float32", "bfloat16"):
    first, _ = after(adam.init(jnp.ones((), dtype)), jnp.full(200, 10, dtype))
    last, step = after(first, jnp.full(3000, 0.01, dtype))
    steps.append(step)
    print(*(f"{float(state[0].nu):.4g}" for state in (first, last)))
print(f"{steps[1] / steps[0]:.1f}")
PYTHON

export JAX_PLATFORMS=cpu
"$PYTHON_WITH" moments.py >seen
mapfile -t seen <seen
expect "mean of squares in float32, at first and after 3000 steps" "${seen[0]}" "18.14 0.9016"
expect "mean of squares in bfloat16, at first and after 3000 steps" "${seen[1]}" "22.5 22.5"
expect "step in bfloat16 by that in float32" "${seen[2]}" 0.2
