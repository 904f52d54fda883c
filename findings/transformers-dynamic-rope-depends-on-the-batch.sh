#!/usr/bin/env bash
# With dynamic NTK scaling of rotary positions, the logits of a text depend on the longest text of its batch.
#
# Guess: padding is masked and positions are those of the text, so the logits of a short text are the same alone and beside
#   a longer one, to rounding, whatever the scaling of its rotary positions.
# Seen, transformers 5.23.0 with torch 2.13.0: true for the default and for linear scaling (1e-7); with "dynamic" the logits
#   of a text of 12 tokens, fewer than the model was trained for, move by 2e-4, a thousandth of the largest, once a text of 48
#   stands in the batch: the base is computed from the highest position of the whole batch, padding included.
# Who is hurt: whoever serves or evaluates such a model in batches: scores differ with the batch size and the order of texts,
#   and a short text is read with the angles of a long one.
# What helps: batches of texts of one length, or a scaling that is fixed (linear, YaRN, Llama 3).
# Seen output:
#   default: alone and in a batch the same to 1e-6: True
#   linear: alone and in a batch the same to 1e-6: True
#   dynamic: alone and in a batch the same to 1e-6: False
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
packages transformers==5.23.0 torch==2.13.0

cat >batch.py <<'PYTHON'
import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM

kind = sys.argv[1]
rope = {"rope_type": kind, "rope_theta": 10000.0} | ({} if kind == "default" else {"factor": 4.0})
sizes = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
torch.manual_seed(0)
model = LlamaForCausalLM(
    LlamaConfig(**sizes, num_attention_heads=4, max_position_embeddings=16, rope_parameters=rope)
).eval()
short, long = torch.randint(1, 50, (1, 12)), torch.randint(1, 50, (1, 48))
batch = torch.cat([torch.nn.functional.pad(short, (0, 36)), long])
mask = torch.ones_like(batch)
mask[0, 12:] = 0
with torch.no_grad():
    alone = model(input_ids=short).logits[0]
    beside = model(input_ids=batch, attention_mask=mask).logits[0, :12]
print(bool((alone - beside).abs().max() < 1e-6))
PYTHON

export TOKENIZERS_PARALLELISM=false
for kind in default linear dynamic; do
    same=$("$PYTHON_WITH" batch.py "$kind" 2>/dev/null)
    expect "$kind: alone and in a batch the same to 1e-6" "$same" "$([ "$kind" = dynamic ] && echo False || echo True)"
done
