"""Layers of other libraries, which are imported when a function is called: weights in and out."""

from attnjax.interop.keras_layers import from_keras, keras_rules, to_keras
from attnjax.interop.torch_layers import from_torch, to_torch, torch_masks

__all__ = ["from_keras", "from_torch", "keras_rules", "to_keras", "to_torch", "torch_masks"]
