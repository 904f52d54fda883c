"""Adapters: kernels that are trained as their first value plus a change of low rank.

They are a way to write parameters, not layers: a model never sees them, since the step merges them before it
calls the loss. So they go with every model and task, and what a run hands on has the plain names.

References:
  Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, 2021, arXiv:2106.09685.
  Liu et al., DoRA: Weight-Decomposed Low-Rank Adaptation, 2024, arXiv:2402.09353.
"""

import functools
import math
import zlib
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from attnjax.nn.layer_names import axes_in_layer, names_of_layers
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.train.adapter_config import AdapterConfig
from attnjax.train.patterns import first_match, input_axes, name_of


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("base", "down", "up", "magnitude"),
    meta_fields=("scale",),
)
@dataclass(frozen=True)
class Adapted:
    """A kernel W with an adapter: W + s·A·B (LoRA), or m·V/‖V‖ with V = W + s·A·B (DoRA).

    The lengths ‖V‖ are those of the columns, over all inputs. Kernels may have several axes of inputs, or of
    outputs; the products are over all of them.

    Where W holds several layers, all of them have a first axis of these.

    Attributes:
      base: W, which stays as it is.
      down: A, [*inputs, rank].
      up: B, [rank, *outputs]; it starts at 0, and the change with it.
      magnitude: m, [*outputs]; None: there is none.
      scale: s.
    """

    base: Float[Array, "*in_out"]
    down: Float[Array, "*in r"]
    up: Float[Array, "r *out"]
    magnitude: Float[Array, "*out"] | None
    scale: float

    @property
    def stacked(self) -> int:
        """The number of first axes of layers, 1 or 0: A and B have it both."""
        return len(self.down.shape) + len(self.up.shape) - 2 - len(self.base.shape)


def adapted(params: Any, config: AdapterConfig, key: Key[Array, ""]) -> Any:
    """Returns parameters in which the kernels that the config chooses are `Adapted`.

    A starts uniform in ±1/√inputs, B at 0 and m at ‖W‖. All three are kept in at least float32.

    Args:
      params: nested dictionaries of arrays.
      config: the adapters; those of kind "none" change nothing.
      key: draws A.

    Example:
      >>> params = {"query": {"kernel": jnp.ones((4, 2, 3))}}
      >>> config = AdapterConfig("dora", ("*.kernel",), rank=2)
      >>> kernel = adapted(params, config, jax.random.key(0))["query"]["kernel"]
      >>> kernel.down.shape, kernel.up.shape, kernel.magnitude.shape
      ((4, 2), (2, 2, 3), (2, 3))
    """
    if config.kind == "none":
        return params

    def adapt(path: tuple[Any, ...], leaf: Array) -> Any:
        name = name_of(path)
        if not has_adapter(name, leaf, config):
            return leaf
        own = axes_in_layer(name, leaf.ndim)
        stack, shape = leaf.shape[: leaf.ndim - own], leaf.shape[leaf.ndim - own :]
        inputs, dtype = input_axes(name, own), accumulation_dtype(leaf)
        bound = math.prod(shape[:inputs]) ** -0.5

        def draw(number: Array) -> Array:
            drawn = jax.random.fold_in(key, number)
            return jax.random.uniform(
                drawn, (*shape[:inputs], config.rank), dtype, minval=-bound, maxval=bound
            )

        numbers = jnp.array([zlib.crc32(layer.encode()) for layer in names_of_layers(name)], jnp.uint32)
        down = jax.vmap(draw)(numbers) if stack else draw(numbers[0])
        up = jnp.zeros((*stack, config.rank, *shape[inputs:]), dtype)
        wide = leaf.astype(dtype)
        magnitude = _lengths(wide, inputs, len(stack)) if config.kind == "dora" else None
        return Adapted(leaf, down, up, magnitude, config.alpha / config.rank)

    return jax.tree_util.tree_map_with_path(adapt, params)


def has_adapter(name: str, leaf: Any, config: AdapterConfig) -> bool:
    """Returns True for a parameter that gets an adapter: a matrix that a pattern chooses."""
    is_matrix = axes_in_layer(name, leaf.ndim) >= 2
    return config.kind != "none" and is_matrix and first_match(name, config.patterns) is not None


def merged(params: Any) -> Any:
    """Returns plain parameters: each adapted kernel is one kernel again, in the dtype that it had.

    Example:
      >>> kernel = Adapted(jnp.eye(2), jnp.ones((2, 1)), jnp.ones((1, 2)), None, 0.5)
      >>> merged({"kernel": kernel})["kernel"].tolist(), unmerged({"kernel": kernel})["kernel"].tolist()
      ([[1.5, 0.5], [0.5, 1.5]], [[1.0, 0.0], [0.0, 1.0]])
    """
    leaves, structure = jax.tree.flatten(params, is_leaf=is_adapted)
    if not any(map(is_adapted, leaves)):
        return params
    return jax.tree.unflatten(structure, [_merged(x) if isinstance(x, Adapted) else x for x in leaves])


def unmerged(params: Any) -> Any:
    """Returns plain parameters without what adapters have learned: the kernels as they were, bit for bit."""
    return jax.tree.map(lambda x: x.base if isinstance(x, Adapted) else x, params, is_leaf=is_adapted)


def is_adapted(node: Any) -> bool:
    """Returns True for a kernel with an adapter."""
    return isinstance(node, Adapted)


def axes_of(kernel: Adapted, axes: tuple[str | None, ...]) -> list[tuple[str | None, ...]]:
    """Returns the names of the axes of each array of an adapted kernel, from those of the kernel."""
    stack, own = axes[: kernel.stacked], axes[kernel.stacked :]
    inputs = len(kernel.down.shape) - kernel.stacked - 1
    found = [axes, (*stack, *own[:inputs], None), (*stack, None, *own[inputs:])]
    return found if kernel.magnitude is None else [*found, (*stack, *own[inputs:])]


@jax.jit
def _merged(kernel: Adapted) -> Array:
    if kernel.stacked:
        return jax.vmap(_merged)(kernel)
    inputs = kernel.down.ndim - 1
    change = jnp.tensordot(kernel.down, kernel.up, 1, precision="highest")
    whole = kernel.base.astype(change.dtype) + kernel.scale * change
    if kernel.magnitude is not None:
        # Section 4.3 of DoRA: gradients take the lengths as constants.
        whole = whole * (kernel.magnitude / jax.lax.stop_gradient(_lengths(whole, inputs)))
    return whole.astype(kernel.base.dtype)


def _lengths(kernel: Array, inputs: int, first: int = 0) -> Array:
    return jnp.sqrt(jnp.sum(kernel * kernel, axis=tuple(range(first, first + inputs))))
