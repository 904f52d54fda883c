#!/usr/bin/env bash
# BigBird's block-sparse attention has no random blocks once a model is in eval mode: it reads the first block several times.
#
# Guess: eval() makes the random blocks repeatable, and the weights that output_attentions returns sum to 1 in every row.
# Seen, transformers 5.23.0, torch 2.13.0, blocks of 4 tokens, 2 random blocks, 64 tokens, no dropout: in train() rows sum to 1 and
#   a query sees 32 keys on average. In eval() every random block is block 0, which the fixed part of the pattern has too:
#   a query sees 25 keys, those of block 0 count three times in its softmax, and rows of the returned weights, which hold
#   each pair once, sum to as little as 0.37.
# Who is hurt: whoever reads or draws these weights, or compares an implementation with the paper's pattern; and a model that was
#   trained with random blocks is used without them. Nothing warns.
# What helps: attention_type="original_full" for texts that fit, or renormalising rows before looking at them.
# Seen output:
#   train(): rows sum to 1.00 to 1.00, a query sees 32 keys
#   eval(): rows sum to 0.37 to 1.00, a query sees 25 keys
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
packages transformers==5.23.0 torch==2.13.0

cat >sums.py <<'PYTHON'
import sys

import numpy as np
import torch
from transformers import BigBirdConfig, BigBirdModel

torch.manual_seed(0)
config = BigBirdConfig(
    vocab_size=70,
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    attention_type="block_sparse",
    block_size=4,
    num_random_blocks=2,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)
model = BigBirdModel(config).train(sys.argv[1] == "train")
with torch.no_grad():
    for weight in model.parameters():
        if weight.ndim == 2:
            weight.normal_(0, 2 / weight.shape[1] ** 0.5)
    np.random.seed(0)
    weights = model(torch.randint(1, 70, (1, 64)), output_attentions=True).attentions[0]
rows, keys = weights.sum(-1), (weights > 0).sum(-1).float().mean()
print(f"rows sum to {rows.min():.2f} to {rows.max():.2f}, a query sees {keys:.0f} keys")
PYTHON

expect "train()" "$("$PYTHON_WITH" sums.py train 2>/dev/null)" "rows sum to 1.00 to 1.00, a query sees 32 keys"
expect "eval()" "$("$PYTHON_WITH" sums.py eval 2>/dev/null)" "rows sum to 0.37 to 1.00, a query sees 25 keys"
