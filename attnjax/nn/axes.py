"""Logical names for the axes of parameters, which sharding rules refer to.

The names are plain metadata, which do nothing until somebody reads them. Flax's own metadata key for them,
`out_sharding`, takes effect eagerly: under any mesh it insists that every name is an axis of that mesh.
"""

from typing import Any

import jax
from flax import nnx

AXES = "axes"
"""The key of the names in the metadata of a parameter."""


def named(*names: str) -> dict[str, Any]:
    """Returns metadata that names a parameter's axes, as in `nnx.Param(value, **named("embed", "mlp"))`."""
    return {AXES: names}


def logical_axes(params: nnx.Module | nnx.State) -> nnx.State:
    """Returns the names of every parameter's axes.

    The names in use are embed, heads, kv_heads, head_dim, mlp, vocab, position, type, bucket, factor (of a
    narrow embedding) and common (of several models), of patches and frames height, width, channel and tap,
    of tables column, in recurrences rank, width, writes, slots and levels, in indexers index_heads, in
    mixtures experts, and of stacked blocks layers.

    Args:
      params: a module, or its `nnx.State`, of which gradients and optimiser moments are as good.

    Returns:
      A pytree like params, with a tuple of names for each parameter.

    Example:
      >>> from attnjax.nn import FeedForward
      >>> feed_forward = FeedForward(4, 8, rngs=nnx.Rngs(0))
      >>> logical_axes(feed_forward)["up"]["kernel"]
      ('embed', 'mlp')
    """
    state = nnx.state(params, nnx.Param) if isinstance(params, nnx.Module) else params
    return jax.tree.map(
        lambda param: param.get_metadata(AXES), state, is_leaf=lambda node: isinstance(node, nnx.Variable)
    )
