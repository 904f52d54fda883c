"""Losses that layers leave while they are trained, beside what a model returns."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from jaxtyping import Array, Float

Losses = list[Float[Array, ""]]

_LEFT: ContextVar[Losses | None] = ContextVar("left", default=None)


@contextmanager
def in_training() -> Iterator[Losses]:
    """Collects the losses that layers leave, and tells them that they are trained.

    A layer that routes tokens or heads leaves what an uneven load costs; mixture of depths routes otherwise
    than where it is used. The losses are those of calls in the same trace.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from attnjax.nn import make_attention
      >>> layer = make_attention("mixture_of_heads", 8, 4, rngs=nnx.Rngs(0))
      >>> with in_training() as losses:
      ...     _ = layer(jnp.ones((1, 3, 8)))
      >>> len(losses), losses_left()
      (1, None)
    """
    losses: Losses = []
    token = _LEFT.set(losses)
    try:
        yield losses
    finally:
        _LEFT.reset(token)


def losses_left() -> Losses | None:
    """Returns the list that a layer in training adds its losses to; None where it is not trained."""
    return _LEFT.get()
