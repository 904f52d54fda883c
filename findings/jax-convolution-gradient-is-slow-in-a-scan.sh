#!/usr/bin/env bash
# On CPU the gradient of a convolution takes many times as long inside of jax.lax.scan as outside of it.
#
# Guess: a step of gradient descent costs the same in a scan as by itself, or a little less, as nothing is dispatched.
# Seen, jax 0.10.2 (two cores): the gradients of a 3 × 3 convolution take 50 to 60 times as (0.12.0.1 on Python 3.12: 37)
#   long per step in the scan; the convolution itself is as fast. In the compiled text of the first program all convolutions
#   have the order of axes "b01f_01io->b01f", in that of the scan the two of the gradient have "f01b_i01o->01bf" and
#   "b01f_01oi->b01f": XLA brings them into the order that its CPU kernels take in the entry computation alone, and loop
#   bodies run them as plain nested loops.
# Who is hurt: whoever puts training steps of a convolutional network into a scan, as one does to save dispatches.
# What helps: write the gradients as convolutions of that order (a custom derivative), or keep the step out of the scan.
# Seen output:
#   convolution in a scan, at least 5 times as slow: no
#   its gradients in a scan, at least 5 times as slow: yes
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
packages jax==0.10.2 jaxlib==0.10.2

cat >steps.py <<'PYTHON'
import time

import jax
import jax.numpy as jnp

images = jax.random.normal(jax.random.key(0), (16, 8, 8, 16))
kernel = jax.random.normal(jax.random.key(1), (3, 3, 16, 32)) / 12


def loss(kernel, images):
    found = jax.lax.conv_general_dilated(
        images, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return jnp.tanh(found).mean()


def forward(kernel, images):
    return kernel * 0.99 + loss(kernel, images), images


def step(kernel, images):
    gradients = jax.grad(loss, (0, 1))(kernel, images)
    return kernel - gradients[0], images - gradients[1]


def seconds(function, count):
    best = float("inf")
    jax.block_until_ready(function(kernel, images))
    for _ in range(20):
        began = time.perf_counter()
        jax.block_until_ready(function(kernel, images))
        best = min(best, (time.perf_counter() - began) / count)
    return best


for one in (forward, step):
    looped = jax.jit(lambda *given: jax.lax.scan(lambda kept, _: (one(*kept), None), given, length=10)[0])
    print("yes" if seconds(looped, 10) > 5 * seconds(jax.jit(one), 1) else "no")
PYTHON

export JAX_PLATFORMS=cpu
mapfile -t slow < <("$PYTHON_WITH" steps.py)
expect "convolution in a scan, at least 5 times as slow" "${slow[0]}" no
expect "its gradients in a scan, at least 5 times as slow" "${slow[1]}" yes
