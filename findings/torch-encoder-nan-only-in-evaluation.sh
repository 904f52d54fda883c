#!/usr/bin/env bash
# What PyTorch's attention gives for a query that sees no key depends on need_weights and on train() or eval().
#
# Guess: NaN always, as the softmax of nothing; or NaN with the weights and 0 without them, in either mode.
# Seen, torch 2.13.0: MultiheadAttention gives NaN with need_weights=True. With need_weights=False it gives 0 (the bias
#   of its output) while autograd records, in train() or eval(), and NaN in eval() under no_grad, where it takes a path
#   of its own. TransformerEncoderLayer asks for no weights: with dropout 0 the same layer, weights and mask give finite
#   numbers in training and NaN in validation.
# Who is hurt: whoever trains with masks that leave some row nothing (padding on the left of a causal mask, a block
#   mask): the loss is finite, and the first validation is NaN.
# What helps: let such rows see themselves, and leave them out afterwards.
# Seen output:
#   MultiheadAttention with weights: nan
#   MultiheadAttention without weights, recorded: 0.0
#   MultiheadAttention without weights, in eval() under no_grad: nan
#   TransformerEncoderLayer in train(): finite
#   TransformerEncoderLayer in eval() under no_grad: nan
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
packages torch==2.13.0 numpy==2.4.6

cat >rows.py <<'PYTHON'
import torch

torch.manual_seed(0)
x = torch.randn(1, 3, 8)
hidden = torch.zeros(3, 3, dtype=torch.bool)
hidden[1] = True  # The second token sees nothing.
attention = torch.nn.MultiheadAttention(8, 2, batch_first=True).eval()
layer = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
print(attention(x, x, x, attn_mask=hidden)[0][0, 1].sum().item())
print(attention(x, x, x, attn_mask=hidden, need_weights=False)[0][0, 1].sum().item())
with torch.no_grad():
    print(attention(x, x, x, attn_mask=hidden, need_weights=False)[0][0, 1].sum().item())
print("finite" if layer.train()(x, src_mask=hidden).isfinite().all() else "nan")
with torch.no_grad():
    print("finite" if layer.eval()(x, src_mask=hidden).isfinite().all() else "nan")
PYTHON

"$PYTHON_WITH" rows.py >seen
mapfile -t seen <seen
expect "MultiheadAttention with weights" "${seen[0]}" nan
expect "MultiheadAttention without weights, recorded" "${seen[1]}" 0.0
expect "MultiheadAttention without weights, in eval() under no_grad" "${seen[2]}" nan
expect "TransformerEncoderLayer in train()" "${seen[3]}" finite
expect "TransformerEncoderLayer in eval() under no_grad" "${seen[4]}" nan
