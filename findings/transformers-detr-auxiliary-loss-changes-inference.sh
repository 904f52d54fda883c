#!/usr/bin/env bash
# With auxiliary_loss=True a DETR of transformers finds other objects in eval mode: the key changes more than the loss.
#
# Guess: auxiliary_loss adds losses of the decoder's lower layers while training; with the same weights the outputs of
#   inference are the same with it and without.
# Seen, transformers 5.23.0, torch 2.13.0, two decoder layers, the same weights in both: the logits differ by 0.13 of the largest.
#   With the key, the vectors that the decoder's last norm makes for the loss of a layer are also what the next layer reads.
# Who is hurt: whoever trains with auxiliary losses, as the paper does, and then serves with the key left at its default, or
#   loads published weights and sets the key to train on.
# What helps: the same value of the key wherever the weights are used.
# Seen output:
#   the same key: 0.00 of the largest logit
#   the other key: 0.13 of the largest logit
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
packages transformers==5.23.0 torch==2.13.0

cat >auxiliary.py <<'PYTHON'
import sys

import torch
from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

backbone = ResNetConfig(
    embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", out_features=["stage2"]
)


def logits(auxiliary_loss):
    config = DetrConfig(
        use_timm_backbone=False,
        backbone=None,
        use_pretrained_backbone=False,
        backbone_config=backbone,
        d_model=16,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_queries=5,
        auxiliary_loss=auxiliary_loss,
    )
    torch.manual_seed(0)
    model = DetrForObjectDetection(config).eval()
    torch.manual_seed(1)
    for weight in model.parameters():
        weight.data = (
            torch.randn_like(weight) / weight.shape[-1] ** 0.5
            if weight.ndim > 1
            else weight + 0.3 * torch.randn_like(weight)
        )
    with torch.no_grad():
        return model(torch.randn(1, 3, 64, 64)).logits


plain, other = logits(False), logits(sys.argv[1] == "other")
print(f"{(other - plain).abs().max() / plain.abs().max():.2f} of the largest logit")
PYTHON

expect "the same key" "$("$PYTHON_WITH" auxiliary.py same 2>/dev/null)" "0.00 of the largest logit"
expect "the other key" "$("$PYTHON_WITH" auxiliary.py other 2>/dev/null)" "0.13 of the largest logit"
