#!/usr/bin/env bash
# A Keras layer of dtype float64 with a tanh in it computes and returns float32, on two of three backends.
#
# Guess: a layer that was made with dtype="float64", given float64, on a backend that has float64, gives float64 to 1e-15.
# Seen, keras 3.15.1: true with torch 2.13.0. With jax 0.10.2 (x64 enabled) tanh, sin, cos, arctan and sinh of a float64 tensor
#   are float32, while exp, log, sqrt, sigmoid and erf are float64; with NumPy all of them are float32. So Dense with a
#   tanh gives float32 though its compute_dtype says float64, and the weights of AdditiveAttention, float64 by name, are 1e-7
#   away from the formula where 1e-16 was to be expected. keras.config.set_floatx("float64") before all changes nothing there.
# Who is hurt: whoever checks gradients or compares implementations in float64, and computations that need more than 7
#   digits; nothing warns, and the same code on another backend is right.
# What helps: PyTorch's backend; otherwise a tanh of one's own, such as jax.numpy's.
# Seen output:
#   torch: Dense(activation="tanh", dtype="float64"): computes in float64, gives float64
#   torch: AdditiveAttention in float64 within 1e-12 of the formula: True
#   jax: Dense(activation="tanh", dtype="float64"): computes in float64, gives float32
#   jax: AdditiveAttention in float64 within 1e-12 of the formula: False
#   numpy: Dense(activation="tanh", dtype="float64"): computes in float64, gives float32
#   numpy: AdditiveAttention in float64 within 1e-12 of the formula: False
#   with floatx float64, jax: AdditiveAttention in float64 within 1e-12 of the formula: False
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
packages keras==3.15.1 jax==0.10.2 torch==2.13.0

cat >layers.py <<'PYTHON'
import sys

import jax
import keras
import numpy as np

jax.config.update("jax_enable_x64", True)
if "floatx" in sys.argv:
    keras.config.set_floatx("float64")
rng = np.random.default_rng(0)
query, key = rng.normal(size=(1, 5, 4)), rng.normal(size=(1, 7, 4))
if "dense" in sys.argv:
    layer = keras.layers.Dense(3, activation="tanh", dtype="float64")
    given = keras.backend.standardize_dtype(layer(query).dtype)
    print(f"computes in {layer.compute_dtype}, gives {given}")
else:
    layer = keras.layers.AdditiveAttention(use_scale=False, dtype="float64")
    _, weights = layer([query, key, key], return_attention_scores=True)
    scores = np.tanh(query[:, :, None] + key[:, None]).sum(-1)
    expected = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    print(bool(np.abs(keras.ops.convert_to_numpy(weights) - expected).max() < 1e-12))
PYTHON

for backend in torch jax numpy; do
    export KERAS_BACKEND=$backend
    right=$([ $backend = torch ] && echo True || echo False)
    expect "$backend: Dense(activation=\"tanh\", dtype=\"float64\")" "$("$PYTHON_WITH" layers.py dense 2>/dev/null)" \
        "computes in float64, gives $([ $backend = torch ] && echo float64 || echo float32)"
    expect "$backend: AdditiveAttention in float64 within 1e-12 of the formula" \
        "$("$PYTHON_WITH" layers.py additive 2>/dev/null)" "$right"
done
export KERAS_BACKEND=jax
expect "with floatx float64, jax: AdditiveAttention in float64 within 1e-12 of the formula" \
    "$("$PYTHON_WITH" layers.py additive floatx 2>/dev/null)" False
