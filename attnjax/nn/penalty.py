"""The cost of parameters in a loss, whatever the batch."""

from typing import Any

from flax import nnx
from jaxtyping import Array, Float

from attnjax.nn.stacked import StackedBlocks


def penalty(model: nnx.Module) -> Float[Array, ""] | float:
    """Returns the sum of `penalty()` over the parts of a model that have one; 0.0 where none has.

    Example:
      >>> from attnjax.nn import make_attention
      >>> layer = make_attention("adaptive_span(start=16.0, cost=0.5)", 8, 2, rngs=nnx.Rngs(0))
      >>> print(f"{penalty(layer):.2f}", penalty(nnx.Linear(2, 2, rngs=nnx.Rngs(0))))
      8.00 0.0
    """
    parts: list[Any] = [module for _, module in nnx.iter_modules(model)]
    stacks = [(part, _costly(part)) for part in parts if isinstance(part, StackedBlocks)]
    inside = {id(part) for _, costly in stacks for part in costly}
    costs = [part.penalty() for part in _costly(model) if id(part) not in inside]
    return sum([*costs, *(stack.summed(penalty) for stack, costly in stacks if costly)], 0.0)


def _costly(model: nnx.Module) -> list[Any]:
    return [part for _, part in nnx.iter_modules(model) if hasattr(part, "penalty")]
