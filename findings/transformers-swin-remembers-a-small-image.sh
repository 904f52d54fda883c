#!/usr/bin/env bash
# A Swin model of transformers that has once seen a small image gives another output for every image after it.
#
# Guess: in eval mode the output for an image depends on that image and the weights alone.
# Seen, transformers 5.23.0, torch 2.13.0, images of 32 × 32 pixels, patches of 4, windows of 4: the same image gives the same vectors
#   twice. After one image of 16 × 16, which a single window covers, the first image's vectors differ by 6 % of the
#   largest. A layer whose window covers its input stores its shift as 0 and the smaller window in itself, and keeps both
#   for larger inputs.
# Who is hurt: whoever serves images of several sizes with one model: results depend on what came before, in any process.
# What helps: all images of one size, or a model for each size.
# Seen output:
#   the same image again: 0.00 of the largest value
#   after one small image: 0.06 of the largest value
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
packages transformers==5.23.0 torch==2.13.0

cat >remembers.py <<'PYTHON'
import sys

import torch
from transformers import SwinConfig, SwinModel

torch.manual_seed(0)
config = SwinConfig(image_size=32, patch_size=4, embed_dim=8, depths=[2], num_heads=[2], window_size=4)
model = SwinModel(config, add_pooling_layer=False).eval()
for weight in model.parameters():
    weight.data.normal_(0, 1)
large, small = torch.randn(1, 3, 32, 32), torch.randn(1, 3, 16, 16)


def read(image):
    with torch.no_grad():
        return model(image, interpolate_pos_encoding=True).last_hidden_state


first = read(large)
if sys.argv[1] == "small":
    read(small)
change = (read(large) - first).abs().max() / first.abs().max()
print(f"{change:.2f} of the largest value")
PYTHON

expect "the same image again" "$("$PYTHON_WITH" remembers.py none 2>/dev/null)" "0.00 of the largest value"
expect "after one small image" "$("$PYTHON_WITH" remembers.py small 2>/dev/null)" "0.06 of the largest value"
