"""Arrays that go into the parameters of a layer."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from attnjax.nn.attention.softmax import SoftmaxAttention

SETTINGS = (
    "rope",
    "query_norm",
    "key_norm",
    "softcap",
    "score",
    "sink",
    "memory",
    "window",
    "normalizer",
    "output_gate",
    "scale",
)
"""What a layer here may have and most layers elsewhere lack; None where it is not there."""


def made(arrays: Mapping[str, np.ndarray], **settings: Any) -> SoftmaxAttention:
    """Returns a layer with these parameters, by dotted names; its dtype is that of the arrays.

    Raises:
      ValueError: A parameter is missing, is none of the layer, or has another shape.
    """
    dtype = next(iter(arrays.values())).dtype
    if jax.dtypes.canonicalize_dtype(dtype) != dtype:
        raise ValueError("the layer's weights are float64: expected jax_enable_x64, or a layer in float32")
    layer = SoftmaxAttention(**settings, param_dtype=dtype, rngs=nnx.Rngs(0))
    params = dict(parameters(layer))
    if params.keys() != arrays.keys():
        raise ValueError(f"weights {sorted(arrays)}: expected {sorted(params)}")
    for name, array in arrays.items():
        if params[name].shape != array.shape:
            raise ValueError(f"{name} {list(array.shape)}: expected {list(params[name].shape)}")
        params[name][...] = jnp.asarray(array)
    return layer


def parameters(layer: SoftmaxAttention) -> dict[str, nnx.Param[Any]]:
    """Returns the parameters of a layer by dotted name, such as "query.kernel".

    Example:
      >>> layer = SoftmaxAttention(4, 2, bias=False, rngs=nnx.Rngs(0))
      >>> sorted(parameters(layer))
      ['key.kernel', 'out.kernel', 'query.kernel', 'value.kernel']
    """
    leaves = nnx.to_flat_state(nnx.state(layer, nnx.Param))
    return {".".join(map(str, path)): param for path, param in leaves}


def require_plain(layer: SoftmaxAttention, library: str, *allowed: str) -> None:
    """Raises TypeError for no such layer, ValueError where a setting of it is none of the other's."""
    if not isinstance(layer, SoftmaxAttention):
        raise TypeError(f"layer is a {type(layer).__name__}: expected a SoftmaxAttention")
    if layer.mechanism != "softmax":
        raise ValueError(f"mechanism is {layer.mechanism!r}: {library} has softmax alone")
    for name in SETTINGS:
        if name not in allowed and getattr(layer, name) is not None:
            raise ValueError(f"the layer has a {name}: {library}'s layer has none")


def as_numpy(tensor: Any) -> np.ndarray:
    """Returns a tensor of torch as an array of the same dtype; NumPy gets a bfloat16 by its bits."""
    import torch

    tensor = tensor.detach().cpu()
    if tensor.dtype != torch.bfloat16:
        array: np.ndarray = tensor.numpy()
        return array
    bits: np.ndarray = tensor.view(torch.uint16).numpy()
    return bits.view(jnp.bfloat16)
