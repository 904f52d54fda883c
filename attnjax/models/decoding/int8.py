"""Weights of eight bits."""

import math
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Int8

from attnjax.nn.stacked import unstacked
from attnjax.ops.core.dtypes import accumulation_dtype

Model = TypeVar("Model", bound=nnx.Module)

LARGEST = 127
"""The magnitude of an int8 that stands for the largest weight of an output."""
COLUMNS = 4096
"""Columns that are summed at once: XLA 0.10 takes seconds on a CPU for the sums of very many."""


def in_int8(model: Model) -> Model:
    """Returns a copy of a model that holds its linear layers and token tables as int8.

    Each output of a layer, and each token of a table, has a scale of its own: w ≈ scale · n, where n is
    127 w / max|w| rounded. They take a quarter of the memory of float32. All else stays as it is: biases,
    norms, convolutions, the experts of a mixture, and the dtype of activations. On a CPU it brings memory and
    no speed: making floats of the numbers takes longer than reading floats. The copy is for decoding and
    evaluation, not for training or saving.

    References:
      Dettmers et al., LLM.int8(), 2022, arXiv:2208.07339 (scales of rows; activations are not rounded here).

    Example:
      >>> from attnjax.models import LanguageModel, LanguageModelConfig
      >>> model = LanguageModel(LanguageModelConfig(dim=8, layers=1), vocab=11, rngs=nnx.Rngs(0))
      >>> small, tokens = in_int8(model), jnp.array([[3, 1, 4]])
      >>> bool(jnp.allclose(small(tokens).logits, model(tokens).logits, atol=0.05))
      True
    """
    copy = unstacked(model)
    for _, module in list(nnx.iter_modules(copy)):
        for name, child in list(vars(module).items()):
            if isinstance(child, nnx.Linear | nnx.LinearGeneral):
                setattr(module, name, Int8Linear(child))
            elif isinstance(child, nnx.Embed):
                setattr(module, name, Int8Table(child))
    return copy


class Int8Linear(nnx.Module):
    """A linear layer whose matrix is int8 [I, O], with a scale for each output.

    Args:
      layer: the layer that it takes the place of.
    """

    def __init__(self, layer: nnx.Linear | nnx.LinearGeneral) -> None:
        kernel, features = layer.kernel[...], layer.out_features
        self.features = (features,) if isinstance(features, int) else tuple(features)
        self.inner = kernel.ndim - len(self.features)
        self.shape = kernel.shape
        numbers, scale = rounded(kernel.reshape(-1, math.prod(self.features)))
        self.numbers, self.scale = nnx.Param(numbers), nnx.Param(scale)
        self.bias = None if layer.bias is None else nnx.Param(layer.bias[...])
        self.dtype = layer.dtype
        self.accumulate = layer.preferred_element_type

    @property
    def kernel(self) -> Float[Array, "..."]:
        """The matrix as the layer had it, for latent attention, which multiplies by it in another order."""
        return (self.numbers[...] * self.scale[...]).reshape(self.shape)

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Applies the layer to the last axes of x."""
        dtype: Any = jnp.result_type(x, self.scale[...]) if self.dtype is None else self.dtype
        flat = x.astype(dtype).reshape(-1, self.numbers.shape[0])
        out = product(flat, self.numbers[...], self.scale[...]).astype(self.accumulate or dtype)
        out = out.reshape(*x.shape[: x.ndim - self.inner], *self.features)
        return out if self.bias is None else out + self.bias[...].astype(out.dtype)


class Int8Table(nnx.Module):
    """A table of vectors that is int8 [W, V], with a scale for each of the V.

    Args:
      table: the table that it takes the place of.
    """

    def __init__(self, table: nnx.Embed) -> None:
        self.num_embeddings = table.num_embeddings
        numbers, scale = rounded(table.embedding[...].T)
        self.numbers, self.scale = nnx.Param(numbers), nnx.Param(scale)
        self.dtype = table.dtype

    @property
    def embedding(self) -> Float[Array, "V W"]:
        """The table as it was, but for what rounding took away."""
        return (self.numbers[...] * self.scale[...]).T

    def __call__(self, index: Int[Array, "*B"]) -> Float[Array, "*B W"]:
        """Returns the vectors of these numbers."""
        rows = jnp.moveaxis(jnp.take(self.numbers[...], index, axis=1), 0, -1)
        return (rows * jnp.take(self.scale[...], index)[..., None]).astype(self.dtype)

    def products(self, x: Float[Array, "*B W"]) -> Float[Array, "*B V"]:
        """Returns the products of x with all vectors, in float32 or better."""
        out = product(x.reshape(-1, x.shape[-1]), self.numbers[...], self.scale[...])
        return out.reshape(*x.shape[:-1], self.num_embeddings)


def rounded(matrix: Float[Array, "I O"]) -> tuple[Int8[Array, "I O"], Float[Array, " O"]]:
    """Returns the int8 of a matrix and the scale of each column, computed in float32.

    >>> rounded(jnp.array([[1.0, 0.0], [-2.0, 0.0]]))[0].tolist()
    [[64, 0], [-127, 0]]
    """
    matrix = matrix.astype(jnp.float32)
    scale = jnp.max(jnp.abs(matrix), axis=0) / LARGEST
    numbers = jnp.round(matrix / jnp.where(scale == 0, 1, scale))
    return numbers.astype(jnp.int8), scale


def product(
    x: Float[Array, "R I"], numbers: Int8[Array, "I O"], scale: Float[Array, " O"]
) -> Float[Array, "R O"]:
    """Returns x · (numbers · scale) in float32 or better."""
    kind = accumulation_dtype(x)
    if len(x) == 1:
        # XLA's product on a CPU first makes floats of the whole matrix; these sums read it as it is.
        row, starts = x[0].astype(kind)[:, None], range(0, numbers.shape[1], COLUMNS)
        parts = [jnp.sum(row * numbers[:, at : at + COLUMNS].astype(kind), axis=0) for at in starts]
        out = jnp.concatenate(parts)[None]
    else:
        # Without the barrier XLA makes the product with its plain loop there, ten times as slow.
        matrix = jax.lax.optimization_barrier(numbers.astype(x.dtype))
        out = jnp.matmul(x, matrix, preferred_element_type=kind)
    return out * scale.astype(kind)
