"""The cost of parameters in a loss, whatever the batch."""

from typing import Any

from flax import nnx
from jaxtyping import Array, Float


def penalty(model: nnx.Module) -> Float[Array, ""] | float:
    """Returns the sum of `penalty()` over the parts of a model that have one; 0.0 where none has.

    Example:
      >>> from attnjax.nn import make_attention
      >>> layer = make_attention("adaptive_span(start=16.0, cost=0.5)", 8, 2, rngs=nnx.Rngs(0))
      >>> print(f"{penalty(layer):.2f}", penalty(nnx.Linear(2, 2, rngs=nnx.Rngs(0))))
      8.00 0.0
    """
    parts: list[Any] = [module for _, module in nnx.iter_modules(model)]
    return sum((part.penalty() for part in parts if hasattr(part, "penalty")), 0.0)
