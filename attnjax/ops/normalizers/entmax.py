"""α-entmax, between softmax and sparsemax."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attnjax.ops.core.checks import floats, scalar_above
from attnjax.ops.core.pairs import Sizes
from attnjax.ops.normalizers.base import Normalizer, shifted


def entmax(alpha: float | Float[Array, ""] | Float[Array, " N"] = 1.5) -> Normalizer:
    """Returns the normaliser [(α-1)s - τ]₊^(1/(α-1)), with τ so that a row sums to 1.

    α → 1 is softmax, α = 2 sparsemax.

    Args:
      alpha: number or array [], or [N] of each head, above 1; differentiable. One program serves all of its
        values.

    Returns:
      The normaliser.

    Raises:
      TypeError: alpha is no number.
      ValueError: alpha is not above 1, or is not one of each head.

    References:
      Peters et al., Sparse Sequence-to-Sequence Models, 2019 (arXiv:1905.05702).
      Correia et al., Adaptively Sparse Transformers, 2019, with a learned α (arXiv:1909.00015).

    Example:
      >>> import attnjax as aj
      >>> x = jnp.array([0.0, 0.5, 2.0])[:, None, None]
      >>> weights = aj.attention_weights(x, x, normalizer=aj.entmax(1.5))[0]
      >>> print(jnp.array_str(weights, precision=2))
      [[0.33 0.33 0.33]
       [0.11 0.21 0.69]
       [0.   0.   1.  ]]
    """
    if jnp.ndim(alpha) != 1:
        return Entmax(scalar_above("alpha", alpha, 1))
    if not isinstance(alpha, jax.core.Tracer):
        for one in np.asarray(alpha):
            scalar_above("alpha", one, 1)
    return Entmax(floats("alpha", alpha))


class Entmax(Normalizer):
    """The normaliser that `entmax` returns."""

    alpha: Any

    def bind(self, sizes: Sizes, dtype: Any) -> Normalizer:
        """Returns the normaliser with its arrays laid out for calls of these sizes."""
        alpha = jnp.asarray(self.alpha, dtype)
        if alpha.shape not in ((), (sizes.heads,)):
            raise ValueError(f"alpha has shape {list(alpha.shape)}: expected [] or [{sizes.heads}] (N)")
        return Entmax(alpha)

    def weights(self, scores: Array, attended: Array | None) -> tuple[Array, None]:
        """Returns the weights of whole rows of scores."""
        alpha = self.alpha[None, :, None, None] if self.alpha.ndim else self.alpha
        return entmax_weights(scores, alpha), None


def entmax_weights(scores: Float[Array, "*rows S"], alpha: Float[Array, "..."]) -> Float[Array, "*rows S"]:
    """Returns [(α-1)s - τ]₊^(1/(α-1)): τ by bisection, then two Newton steps that carry the derivatives.

    The bisection has none; each Newton step from the root doubles the number of correct derivatives, so two
    make the first and the second exact, in the scores and in α.
    """
    present, z = shifted(scores)
    z = z * (alpha - 1)

    def powers(threshold: Array, exponent: Array) -> Array:
        base = z - threshold
        inside = present & (base > 0)
        return jnp.where(inside, jnp.where(inside, base, 1) ** exponent, 0)

    def total(threshold: Array) -> Array:
        return powers(threshold, 1 / (alpha - 1)).sum(axis=-1, keepdims=True)

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        above = total(middle) >= 1
        return jnp.where(above, middle, low), jnp.where(above, high, middle)

    # The highest shifted score is 0: τ = -1 gives it weight 1, τ = 0 gives every entry weight 0.
    edge = jnp.zeros_like(z[..., :1])
    steps = jnp.finfo(z.dtype).nmant + 2
    threshold, _ = jax.lax.fori_loop(0, steps, halve, (edge - 1, edge))
    threshold = jax.lax.stop_gradient(threshold)
    for _ in range(2):
        slope = powers(threshold, 1 / (alpha - 1) - 1).sum(axis=-1, keepdims=True) / (alpha - 1)
        threshold = threshold + (total(threshold) - 1) / jnp.where(slope > 0, slope, 1)
    return powers(threshold, 1 / (alpha - 1))
