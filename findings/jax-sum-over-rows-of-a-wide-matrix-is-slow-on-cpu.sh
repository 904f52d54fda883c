#!/usr/bin/env bash
# On CPU the sums of 20,000 columns take many times as long as those of 16,384, or as the product with a row of ones.
#
# Guess: `matrix.sum(0)` reads the matrix once, so that its time grows with the number of columns, and is that of the
#   product of a row of ones with the matrix, or a little less.
# Seen, jax 0.10.2 (two cores): 512 × 16,384 numbers of float32 take 2.3 ms and 512 × 20,000 take 55; 512 × 50,257, the
#   vocabulary of GPT-2, take 150 to 235, the product with a row of ones 2. Of `max(0)` and `mean(0)` it is the same. The
#   compiled program is one fusion of the kind "ynn_fusion"; with XLA_FLAGS=--xla_cpu_experimental_ynn_fusion_type= they take
#   3 ms. 0.12.0.1 on Python 3.12 takes 2 ms as it is.
# Who is hurt: whoever trains a bias of logits over a large vocabulary, whose gradient is such a sum: the gradient of a
#   cross entropy over 50,257 words of 512 tokens took 650 ms with the bias and 368 without; or normalises columns.
# What helps: the product with ones, a newer jax, the flag, or blocks of at most 16,384 columns.
# Seen output:
#   16,384 columns, at least 10 times as slow as the product: no
#   20,000 columns, at least 10 times as slow as the product: yes
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
packages jax==0.10.2 jaxlib==0.10.2

cat >sums.py <<'PYTHON'
import time

import jax
import jax.numpy as jnp


def seconds(function, matrix):
    best = float("inf")
    jax.block_until_ready(function(matrix))
    for _ in range(10):
        began = time.perf_counter()
        jax.block_until_ready(function(matrix))
        best = min(best, time.perf_counter() - began)
    return best


for columns in (16_384, 20_000):
    matrix = jnp.ones((512, columns))
    summed = seconds(jax.jit(lambda matrix: matrix.sum(0)), matrix)
    product = seconds(jax.jit(lambda matrix: jnp.ones(512) @ matrix), matrix)
    print("yes" if summed > 10 * product else "no")
PYTHON

export JAX_PLATFORMS=cpu
mapfile -t slow < <("$PYTHON_WITH" sums.py)
expect "16,384 columns, at least 10 times as slow as the product" "${slow[0]}" no
expect "20,000 columns, at least 10 times as slow as the product" "${slow[1]}" yes
