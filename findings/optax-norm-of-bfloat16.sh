#!/usr/bin/env bash
# The global norm of gradients in bfloat16 does not grow beyond 16 as leaves are added, so clipping by it clips too little.
#
# Guess: the norm of 4096 leaves that hold a one is 64, up to the rounding of bfloat16, which has room for 64.
# Seen, optax 0.2.8 with jax 0.10.2: 16, however many more leaves there are; gradients clipped to a norm of 1 have one of 4.
#   The squares are summed leaf by leaf in the leaves' own dtype, and 256 + 1 is 256 in bfloat16.
# Who is hurt: whoever keeps parameters in bfloat16 and clips: a model of many layers is clipped at a multiple of the norm
#   that was asked for, and the logged norm stands still.
# What helps: cast gradients to float32 before they are clipped or logged.
# Seen output:
#   norm of 4096 ones in float32: 64.0
#   norm of 4096 ones in bfloat16: 16.0
#   norm after clipping to 1 in bfloat16: 4.0
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
packages optax==0.2.8 jax==0.10.2 jaxlib==0.10.2

cat >norms.py <<'PYTHON'
import sys
import jax.numpy as jnp
import optax

ones = [jnp.ones((), sys.argv[1]) for _ in range(4096)]
clip = optax.clip_by_global_norm(1.0)
clipped, _ = clip.update(ones, clip.init(ones))
print(float(optax.global_norm(ones)), float(optax.global_norm([x.astype(jnp.float32) for x in clipped])))
PYTHON

export JAX_PLATFORMS=cpu
read -r norm _ < <("$PYTHON_WITH" norms.py float32)
expect "norm of 4096 ones in float32" "$norm" 64.0
read -r norm clipped < <("$PYTHON_WITH" norms.py bfloat16)
expect "norm of 4096 ones in bfloat16" "$norm" 16.0
expect "norm after clipping to 1 in bfloat16" "$clipped" 4.0
