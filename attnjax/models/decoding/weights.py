"""Weights in the order in which decoding reads them."""

import math
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from attnjax.nn.stacked import unstacked

Model = TypeVar("Model", bound=nnx.Module)


def for_decoding(model: Model, *, used_up: bool = False) -> Model:
    """Returns a copy of a model for decoding on a CPU, whose linear layers hold a row for each output.

    For 2 to 16 rows of tokens a step takes two thirds of the time, for one row the same: XLA copies the usual
    matrices, with a row for each input, into this order piece by piece at every step. The copy is not for
    training or saving; without the model itself, the weights are held once.

    Args:
      model: what is copied.
      used_up: True if the model is of no use afterwards: each matrix is let go of as soon as its copy is
        there, so that the weights are held once all the while. Of layers that `scan_layers` has stacked it
        is the slices that are let go of.

    Example:
      >>> from attnjax.models import LanguageModel, LanguageModelConfig
      >>> model = LanguageModel(LanguageModelConfig(dim=8, layers=1), vocab=11, rngs=nnx.Rngs(0))
      >>> quick, tokens = for_decoding(model), jnp.array([[3, 1, 4]])
      >>> bool(jnp.allclose(quick(tokens).logits, model(tokens).logits, atol=1e-5))
      True
    """
    copy = unstacked(model)
    made: dict[nnx.Module, OutputFirst] = {}  # A layer may stand in several places.
    for _, module in list(nnx.iter_modules(copy)):
        for name, child in list(vars(module).items()):
            if isinstance(child, nnx.Linear | nnx.LinearGeneral):
                if child not in made:
                    made[child] = OutputFirst(child)
                    if used_up:
                        made[child].rows[...].block_until_ready()
                        child.kernel[...].delete()
                setattr(module, name, made[child])
    return copy


class OutputFirst(nnx.Module):
    """A linear layer whose matrix is stored as [O, I], a row for each output.

    Args:
      layer: the layer that it takes the place of.
    """

    def __init__(self, layer: nnx.Linear | nnx.LinearGeneral) -> None:
        kernel, features = layer.kernel[...], layer.out_features
        self.features = (features,) if isinstance(features, int) else tuple(features)
        self.inner = kernel.ndim - len(self.features)
        self.shape = kernel.shape
        self.rows = nnx.Param(kernel.reshape(-1, math.prod(self.features)).T)
        self.bias = None if layer.bias is None else nnx.Param(layer.bias[...])
        self.dtype = layer.dtype
        self.accumulate = layer.preferred_element_type

    @property
    def kernel(self) -> Float[Array, "..."]:
        """The matrix as the layer had it, for latent attention, which multiplies by it in another order."""
        return self.rows[...].T.reshape(self.shape)

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Applies the layer to the last axes of x."""
        dtype: Any = jnp.result_type(x, self.rows[...]) if self.dtype is None else self.dtype
        rows, flat = self.rows[...].astype(dtype), x.astype(dtype).reshape(-1, self.rows.shape[1])
        numbers = (((1,), (1,)), ((), ()))
        out = jax.lax.dot_general(flat, rows, numbers, preferred_element_type=self.accumulate)
        out = out.reshape(*x.shape[: x.ndim - self.inner], *self.features)
        return out if self.bias is None else out + self.bias[...].astype(out.dtype)
