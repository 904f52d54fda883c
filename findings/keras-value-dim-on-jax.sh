#!/usr/bin/env bash
# On the JAX backend Keras' MultiHeadAttention with a value_dim of its own raises at its first call, unless it has dropout.
#
# Guess: value_dim is an argument of the layer, so that MultiHeadAttention(2, 4, value_dim=6) of vectors [2, 5, 8] gives [2, 5, 8]
#   on every backend.
# Seen, keras 3.15.1: true with torch 2.13.0. With jax 0.10.2 the call raises a TypeError about a reshape: without dropout the
#   layer calls a fused attention there, which takes values as wide as keys alone. With dropout above 0, or where the
#   weights are asked for, it computes them by itself and gives [2, 5, 8]; flash_attention=False changes nothing.
# Who is hurt: whoever takes a model with narrow keys from another backend to JAX, or sets the dropout of one to 0.
# What helps: to ask for the weights (return_attention_scores=True) and drop them.
# Seen output:
#   torch: (2, 5, 8)
#   jax: TypeError
#   jax, flash_attention=False: TypeError
#   jax, dropout=0.1: (2, 5, 8)
#   jax, return_attention_scores=True: (2, 5, 8)
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
packages keras==3.15.1 jax==0.10.2 torch==2.13.0

cat >value_dim.py <<'PYTHON'
import sys

import keras
import numpy as np

options = dict(option.split("=") for option in sys.argv[1:])
returns = {name: True for name in options if name.startswith("return")}
made = {name: float(value) for name, value in options.items() if name not in returns}
if "flash_attention" in made:
    made["flash_attention"] = False
layer = keras.layers.MultiHeadAttention(2, 4, value_dim=6, **made)
x = np.ones((2, 5, 8), "float32")
try:
    found = layer(x, x, **returns)
    print(tuple((found[0] if returns else found).shape))
except TypeError as error:
    print(type(error).__name__)
PYTHON

seen() { KERAS_BACKEND=$1 "$PYTHON_WITH" value_dim.py "${@:2}" 2>/dev/null; }

expect "torch" "$(seen torch)" "(2, 5, 8)"
expect "jax" "$(seen jax)" TypeError
expect "jax, flash_attention=False" "$(seen jax flash_attention=0)" TypeError
expect "jax, dropout=0.1" "$(seen jax dropout=0.1)" "(2, 5, 8)"
expect "jax, return_attention_scores=True" "$(seen jax return_attention_scores=1)" "(2, 5, 8)"
