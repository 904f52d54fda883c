"""Attention around a predicted position."""

from typing import Any, Unpack

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from attnjax.ops.arguments import AttentionOptions
from attnjax.ops.attention import attention
from attnjax.ops.core.checks import floats, scalar_above
from attnjax.ops.core.node import replace, static
from attnjax.ops.core.pairs import Block, Sizes, pair_grid
from attnjax.ops.scores.base import Score, flatten


def around(position: Float[Array, "*B T N"], size: float, *, gaussian: bool = True) -> Score:
    """Returns the score s - (j - p)²/(2σ²), σ = size/2, of keys within `size` of p; others are masked.

    After a softmax the weights sum to 1: they are those of `local_attention`, which do not, by their sum.

    Args:
      position: p of each query and head; differentiable.
      size: D above 0, keys on either side.
      gaussian: whether nearer keys weigh more; without, the window alone is left.

    Returns:
      The score.

    Raises:
      TypeError: the position is not floating point, or the size no number.
      ValueError: the size is not above 0; the position has another shape (when attention is called).

    References:
      Luong et al., Effective Approaches to Attention-based Neural Machine Translation, 2015
      (arXiv:1508.04025).

    Example:
      >>> import attnjax as aj
      >>> x = jnp.zeros((5, 1, 1))
      >>> weights = aj.attention_weights(x[:1], x, score=around(jnp.array([[3.0]]), 1))[0]
      >>> print(jnp.array_str(weights, precision=2))
      [[0.   0.   0.11 0.79 0.11]]
    """
    return Around(floats("position", position), scalar_above("size", size, 0), gaussian)


class Around(Score):
    """The score that `around` returns."""

    position: Any
    size: Any
    gaussian: bool = static()

    def bind(self, sizes: Sizes, dtype: Any) -> Score:
        """Returns the score with its arrays laid out for calls of these sizes."""
        expected = (*sizes.batch, sizes.queries, sizes.heads)
        if self.position.shape != expected:
            shape = list(self.position.shape)
            raise ValueError(f"position has shape {shape}: expected {list(expected)} (*B, T, N)")
        position = jnp.moveaxis(self.position, -1, -2)[..., None].astype(dtype)
        size = jnp.asarray(self.size, dtype)
        return replace(self, position=pair_grid("position", position, sizes), size=size)

    def apply(self, scores: Array, at: Block, attended: Bool[Array, "..."] | None) -> Array:
        """Returns the changed scores of a block."""
        distance = at.k.astype(scores.dtype) - self.position.array
        near = jnp.abs(distance) <= self.size
        nearer = scores - 2 * (distance / self.size) ** 2 if self.gaussian else scores
        return jnp.where(near, nearer, -jnp.inf)


def local_attention(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B S K H"],
    value: Float[Array, "*B S K V"],
    position: Float[Array, "*B T N"],
    *,
    size: float,
    **options: Unpack[AttentionOptions],
) -> Float[Array, "*B T N V"]:
    """Returns Luong's local-p attention: softmax in a window around p, then times a Gaussian around p.

        a_ij = softmax_j(s_ij, |j - p_i| ≤ D) · exp(-(j - p_i)²/(2σ²)),  σ = D/2

    The weights of a row sum to less than 1.

    Args:
      query: as in `attention`.
      key: as in `attention`.
      value: as in `attention`.
      position: p of each query and head; differentiable.
      size: D above 0, keys on either side.
      **options: as in `attention`, but for a normaliser.

    Returns:
      [*B, T, N, V], in the query's dtype; 0 where no key is near.

    Raises:
      TypeError: an argument is of another type, or unknown.
      ValueError: shapes or values do not fit; a normaliser is given.

    References:
      Luong et al., Effective Approaches to Attention-based Neural Machine Translation, 2015
      (arXiv:1508.04025).

    Example:
      >>> x = jnp.ones((5, 1, 1))
      >>> round(float(local_attention(x[:1], x, x, jnp.array([[2.0]]), size=1)[0, 0, 0]), 2)
      0.42
    """
    given: dict[str, Any] = {**options}
    if given.pop("normalizer", None) is not None:
        raise ValueError("normalizer is given: local attention is of softmax, whose weights it multiplies")
    scores = flatten(given.pop("score", None))
    near, bump = (around(position, size, gaussian=gaussian) for gaussian in (False, True))
    out, lse = attention(query, key, value, score=(*scores, bump), return_lse=True, **given)
    given |= {"dropout_rate": 0.0, "dropout_key": None}
    _, whole = attention(query, key, value[..., :0], score=(*scores, near), return_lse=True, **given)
    # The Gaussian is part of one sum and not of the other, so that their ratio is what it takes away.
    empty = jnp.isneginf(whole)
    share = jnp.where(empty, 0, jnp.exp(jnp.where(empty, 0, lse) - jnp.where(empty, 0, whole)))
    return (out * jnp.moveaxis(share, -1, -2)[..., None]).astype(out.dtype)
