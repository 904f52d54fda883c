"""Layers of images [*B, Y, X, D], channels last."""

from attnjax.nn.spatial.augmented import AugmentedConvolution
from attnjax.nn.spatial.axial import AxialAttention
from attnjax.nn.spatial.channels import CBAM, EfficientChannels, SqueezeExcite
from attnjax.nn.spatial.deformable import DeformableAttention
from attnjax.nn.spatial.neighborhood import NeighborhoodAttention
from attnjax.nn.spatial.non_local import NonLocal
from attnjax.nn.spatial.windows import WindowAttention

__all__ = [
    "CBAM",
    "AugmentedConvolution",
    "AxialAttention",
    "DeformableAttention",
    "EfficientChannels",
    "NeighborhoodAttention",
    "NonLocal",
    "SqueezeExcite",
    "WindowAttention",
]
