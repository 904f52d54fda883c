"""Blocks whose insides are computed again for gradients, in the place of being kept."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from jaxtyping import Array, Float

from attnjax.nn.taps import Sites
from attnjax.nn.training import in_training, losses_left

POLICIES: Mapping[str, Callable[..., Any]] = {
    "nothing": jax.checkpoint_policies.nothing_saveable,
    "dots_with_no_batch_dims": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "dots": jax.checkpoint_policies.dots_saveable,
    "everything": jax.checkpoint_policies.everything_saveable,
}
"""The values kept besides the input; products of matrices without batch axes are those by parameters."""


def recomputed(block: Callable[..., Any], keeps: str | None = "nothing") -> Callable[..., Any]:
    """Returns the block f(x, …) with the same values and gradients, which keeps little but x for the latter.

    What layers in it leave while they are trained (`in_training`) is left all the same. What it leaves by
    other ways, such as a `Depth`, is not: it must have none.

    Args:
      block: any.
      keeps: a name of POLICIES; None: the block itself, which keeps all that its gradient reads.

    References:
      Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016, arXiv:1604.06174.

    Example:
      >>> import jax.numpy as jnp
      >>> float(jax.grad(recomputed(lambda x, *, power: x**power))(jnp.float32(3), power=2))
      6.0
    """
    if keeps is None:
        return block

    def call(x: Float[Array, "..."], *more: Any, **options: Any) -> Any:
        if isinstance(options.get("capture"), Sites):
            return block(x, *more, **options)  # What taps read leaves the block: it is kept.
        left = losses_left()

        def inside(x: Any) -> tuple[Any, list[Any]]:
            if left is None:
                return block(x, *more, **options), []
            with in_training() as losses:
                return block(x, *more, **options), losses

        out, losses = jax.checkpoint(inside, policy=POLICIES[keeps])(x)
        if left is not None:
            left.extend(losses)
        return out

    return call
