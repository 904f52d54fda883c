"""Logical names for the axes of parameters: what a sharding rule refers to, without touching a module.

Flax's own metadata key for this, `out_sharding`, takes effect eagerly: under any mesh it insists that every
name is an axis of that mesh. The names here are plain metadata, which do nothing until somebody reads them.
"""

from typing import Any

import jax
from flax import nnx

_KEY = "axes"


def named(*names: str) -> dict[str, Any]:
    """Metadata that names a parameter's axes, as in `nnx.Param(value, **named("embed", "mlp"))`."""
    return {_KEY: names}


def logical_axes(params: nnx.Module | nnx.State) -> nnx.State:
    """The names of every parameter's axes: a pytree like params, with a tuple of names for each parameter.

    The names in use are embed, heads, kv_heads, head_dim, mlp, vocab, position and bucket, and in
    recurrences rank, width, writes, slots and levels.

    Args:
      params: a module, or its `nnx.State` (gradients and optimiser moments of it are as good).

    >>> from attnjax.nn import FeedForward
    >>> feed_forward = FeedForward(4, 8, rngs=nnx.Rngs(0))
    >>> logical_axes(feed_forward)["up"]["kernel"]
    ('embed', 'mlp')
    """
    state = nnx.state(params, nnx.Param) if isinstance(params, nnx.Module) else params
    return jax.tree.map(
        lambda param: param.get_metadata(_KEY), state, is_leaf=lambda node: isinstance(node, nnx.Variable)
    )
