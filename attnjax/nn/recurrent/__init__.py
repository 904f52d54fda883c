"""Whole layers of recurrent models, whose parts beside the recurrence belong to their definition."""

from attnjax.nn.recurrent.hgrn import HGRN
from attnjax.nn.recurrent.mamba3 import Mamba3
from attnjax.nn.recurrent.rwkv6 import RWKV6TimeMix
from attnjax.nn.recurrent.rwkv7 import RWKV7TimeMix
from attnjax.nn.recurrent.ttt import TTTLinear

__all__ = ["HGRN", "Mamba3", "RWKV6TimeMix", "RWKV7TimeMix", "TTTLinear"]
