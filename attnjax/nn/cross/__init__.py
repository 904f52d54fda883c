"""Layers that read a context of another kind, or pool a set into a few vectors."""

from attnjax.nn.cross.bilinear import BilinearAttention
from attnjax.nn.cross.co_attention import CoAttention, CoAttentionOutput
from attnjax.nn.cross.gate import CrossGate
from attnjax.nn.cross.gated import GatedCrossAttention
from attnjax.nn.cross.q_former import QFormer
from attnjax.nn.cross.resampler import PerceiverResampler
from attnjax.nn.cross.set_transformer import ISAB, PMA, SetBlock
from attnjax.nn.cross.slots import SlotAttention

__all__ = [
    "ISAB",
    "PMA",
    "BilinearAttention",
    "CoAttention",
    "CoAttentionOutput",
    "CrossGate",
    "GatedCrossAttention",
    "PerceiverResampler",
    "QFormer",
    "SetBlock",
    "SlotAttention",
]
