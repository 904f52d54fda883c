"""Layers that mix tokens without attention, in its place: baselines of a claim about attention."""

from attnjax.nn.mixers.aft import AFT
from attnjax.nn.mixers.convolution import SeparableConvolution
from attnjax.nn.mixers.fourier import FourierMixing
from attnjax.nn.mixers.gmlp import GMLP
from attnjax.nn.mixers.hyena import Hyena

__all__ = ["AFT", "GMLP", "FourierMixing", "Hyena", "SeparableConvolution"]
