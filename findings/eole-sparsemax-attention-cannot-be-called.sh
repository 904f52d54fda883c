#!/usr/bin/env bash
# eole's global attention takes attn_func="sparsemax", and every call of it raises an error.
#
# Guess: as with softmax the weights of a row sum to 1, and some of them are 0; OpenNMT-py, where the module is from,
#   gives such.
# Seen, eole 0.6.4 with torch 2.13.0 (Python 3.11): the module is made, and its first forward pass ends with a TypeError,
#   as the function for sparsemax is called with a keyword that it does not take. With softmax the same call works, and
#   so does the package's function for sparsemax where the axis is given by its place.
# Who is hurt: whoever asks for `global_attention_function: sparsemax`, an option that eole's own settings accept: the
#   training ends at its first step.
# What helps: softmax; or the package's function, called with the axis by its place.
# Seen output:
#   softmax: the weights of a row sum to 1.0
#   sparsemax: TypeError
#   the function itself, axis by its place: the weights sum to 1.0, and 1 of 3 is 0
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
packages torch==2.13.0 eole==0.6.4 aiohttp==3.12.15

told=$("$PYTHON_WITH" -W ignore -c '
import torch
from eole.modules.global_attention import GlobalAttention
from eole.modules.sparse_activations import sparsemax

torch.manual_seed(0)
states, memory = torch.randn(1, 2, 4), torch.randn(1, 3, 4)
for name in ("softmax", "sparsemax"):
    module = GlobalAttention(4, attn_type="dot", attn_func=name)
    try:
        print(f"the weights of a row sum to {module(states, memory)[1][0, 0].sum().item():.1f}")
    except TypeError as error:
        print(type(error).__name__)
found = sparsemax(torch.tensor([[1.0, 0.9, -3.0]]), -1)[0]
print(f"the weights sum to {found.sum().item():.1f}, and {(found == 0).sum().item()} of 3 is 0")
')
expect "softmax" "$(sed -n 1p <<<"$told")" "the weights of a row sum to 1.0"
expect "sparsemax" "$(sed -n 2p <<<"$told")" TypeError
expect "the function itself, axis by its place" "$(sed -n 3p <<<"$told")" "the weights sum to 1.0, and 1 of 3 is 0"
