"""Attention that only moves on: its expected alignment, and the hard one that it stands for."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from attnjax.ops.classic.common import tokens_of
from attnjax.ops.comparing import pair_similarities
from attnjax.ops.comparisons import Comparison, scaled_dot
from attnjax.ops.core.checks import floats
from attnjax.ops.masks import Mask


def monotonic_alignment(
    choose: Float[Array, "*B T S"], *, hard: bool = False, before: Float[Array, "*B S"] | None = None
) -> Float[Array, "*B T S"]:
    """Returns the probability that query i attends key j, if it goes on from where the one before stopped.

        q_ij = (1 - p_i,j-1) q_i,j-1 + α_i-1,j,  α_ij = p_ij q_ij,  α_-1 = (1, 0, 0, …)

    From the key of the query before, a query looks at key after key and stops at j with probability p_ij.
    What passes the last key attends nothing, then and in all later rows. O(T·log S) steps, S at once.

    Args:
      choose: p, in [0, 1]; 0 where masked.
      hard: stops where p ≥ 1/2, as at inference, instead of in expectation.
      before: α of the query before these; None: (1, 0, 0, …), there is none.

    Returns:
      α, of p's dtype.

    Raises:
      TypeError: p is not floating point.
      ValueError: it has fewer than two axes, or `before` has other ones.

    References:
      Raffel et al., Online and Linear-Time Attention by Enforcing Monotonic Alignments, 2017
      (arXiv:1704.00784).

    Example:
      >>> print(monotonic_alignment(jnp.array([[0.5, 0.5], [0.5, 1.0]])))
      [[0.5  0.25]
       [0.25 0.5 ]]
    """
    choose = floats("choose", choose)
    if choose.ndim < 2:
        raise ValueError(f"choose has shape {list(choose.shape)}: expected (*B, T, S)")
    if hard:
        choose = (choose >= 0.5).astype(choose.dtype)
    first = jnp.zeros_like(choose[..., 0, :]).at[..., 0].set(1)
    if before is not None:
        if before.shape != first.shape:
            raise ValueError(f"before has shape {list(before.shape)}: expected {list(first.shape)} (*B, S)")
        first = floats("before", before).astype(first.dtype)

    def join(left: tuple[Array, Array], right: tuple[Array, Array]) -> tuple[Array, Array]:
        return left[0] * right[0], right[0] * left[1] + right[1]

    @jax.checkpoint
    def step(before: Array, p: Array) -> tuple[Array, Array]:
        passed = jnp.concatenate([jnp.zeros_like(p[..., :1]), 1 - p[..., :-1]], axis=-1)
        _, arrived = jax.lax.associative_scan(join, (passed, before), axis=-1)
        return p * arrived, p * arrived

    return jnp.moveaxis(jax.lax.scan(step, first, jnp.moveaxis(choose, -2, 0))[1], 0, -2)


def monotonic_attention(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B S K H"],
    value: Float[Array, "*B S K V"],
    *,
    comparison: Comparison | None = None,
    offset: float | Float[Array, " N"] = 0.0,
    mask: Mask | Bool[Array, "..."] | None = None,
    noise: Float[Array, "*B N T S"] | None = None,
    hard: bool = False,
    before: Float[Array, "*B N S"] | None = None,
) -> tuple[Float[Array, "*B T N V"], Float[Array, "*B N T S"]]:
    """Returns the values at the keys of a monotonic alignment with p_ij = σ(s_ij + offset + noise_ij).

    Args:
      query: as in `attention`, in their order.
      key: as in `attention`, in their order.
      value: as in `attention`.
      comparison: gives s; None: `scaled_dot()`.
      offset: r, one number or one for each head; below 0, queries look farther at first.
      mask: as in `attention`; a masked key is passed.
      noise: of training, of a standard normal distribution, so that p comes near 0 or 1.
      hard: as in `monotonic_alignment`.
      before: as there, the weights of the query before these.

    Returns:
      The output, in the query's dtype, and the weights α.

    Raises:
      TypeError: an argument is of another type.
      ValueError: shapes do not fit.

    References:
      Raffel et al., Online and Linear-Time Attention by Enforcing Monotonic Alignments, 2017
      (arXiv:1704.00784).

    Example:
      >>> x = jnp.array([[[-9.0]], [[9.0]]])
      >>> out, weights = monotonic_attention(x[1:], x, x, hard=True)
      >>> print(out[0, 0])
      [9.]
    """
    tokens = tokens_of(query, key, value, mask)
    own = scaled_dot() if comparison is None else comparison
    scores = pair_similarities(query, jnp.where(jnp.isfinite(key), key, 0), own)
    offset = jnp.broadcast_to(jnp.asarray(offset, scores.dtype), (tokens.sizes.heads,))[:, None, None]
    scores = scores + offset + tokens.lost
    if noise is not None:
        scores = scores + floats("noise", noise).astype(scores.dtype)
    scores = jnp.where(tokens.attended, scores, 0)
    choose = jnp.where(tokens.attended, jax.nn.sigmoid(scores), 0)
    weights = monotonic_alignment(choose, hard=hard, before=before)
    return tokens.per_query(weights, jnp.asarray(query).dtype), weights
