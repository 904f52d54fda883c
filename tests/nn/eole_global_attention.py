"""Writes eole_global_attention.npz: what eole's module gives, by a Python with eole 0.6.4 and aiohttp.

python tests/nn/eole_global_attention.py
"""

from pathlib import Path

import numpy as np
import torch
from eole.modules.global_attention import GlobalAttention

B, T, S, D = 2, 3, 4, 4
KINDS = ("dot", "general", "mlp")


def main() -> None:
    torch.manual_seed(0)
    states, memory = (torch.randn(B, size, D, dtype=torch.float64) for size in (T, S))
    padding = torch.arange(S) >= torch.tensor([2, S])[:, None, None]
    found = {"states": states, "memory": memory, "padding": padding}
    for kind in KINDS:
        module = GlobalAttention(D, attn_type=kind).double()
        given = {f"{kind}.{name}": x for name, x in module.state_dict().items()}
        out, weights = module(states, memory, src_pad_mask=padding)
        found |= given | {f"{kind}.out": out.detach(), f"{kind}.weights": weights.detach()}
    np.savez(Path(__file__).with_suffix(".npz"), **{name: x.numpy() for name, x in found.items()})


if __name__ == "__main__":
    main()
