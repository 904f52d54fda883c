"""A few vectors made of many, by attention of learned queries."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from attnjax.ops.attention import attention, attention_weights
from attnjax.ops.comparisons import dot
from attnjax.ops.core.checks import floats


def attentive_pooling(
    values: Float[Array, "*B S D"],
    features: Float[Array, "*B S A"],
    queries: Float[Array, "R A"],
    *,
    mask: Bool[Array, "*B S"] | None = None,
) -> tuple[Float[Array, "*B R D"], Float[Array, "*B R S"]]:
    """Returns Σ_j a_rj values_j with a_r = softmax_j(queries_r·features_j), for each of R queries.

    Args:
      values: the vectors to pool.
      features: of each vector, compared with the queries; in the papers tanh(W h + b).
      queries: the learned ones.
      mask: the vectors that take part; None: all. Without one the output is 0.

    Returns:
      The pooled vectors, in the features' dtype, and the weights a.

    Raises:
      TypeError: an argument is of another type.
      ValueError: shapes do not fit.

    References:
      Lin et al., A Structured Self-attentive Sentence Embedding, 2017 (arXiv:1703.03130).

    Example:
      >>> x = jnp.array([[1.0], [3.0]])
      >>> out, weights = attentive_pooling(x, jnp.log(x), jnp.array([[0.0], [1.0]]))
      >>> print(out.round(2))
      [[2. ]
       [2.5]]
    """
    values, features, queries = (
        floats(name, x) for name, x in (("values", values), ("features", features), ("queries", queries))
    )
    if queries.ndim != 2 or features.ndim < 2 or values.ndim != features.ndim:
        raise ValueError(
            f"values {list(values.shape)} (*B, S, D), features {list(features.shape)} (*B, S, A), queries "
            f"{list(queries.shape)} (R, A): axes are missing or too many"
        )
    query = jnp.broadcast_to(queries.astype(features.dtype), (*features.shape[:-2], *queries.shape))
    query, key = query[..., None, :], features[..., None, :]
    seen = None if mask is None else jnp.asarray(mask)[..., None, None, :]
    out = attention(query, key, values[..., None, :], comparison=dot(), mask=seen)
    weights = attention_weights(query, key, comparison=dot(), mask=seen)
    return out[..., 0, :], weights[..., 0, :, :]


def redundancy(weights: Float[Array, "*B R S"]) -> Float[Array, "*B"]:
    """Returns ‖A Aᵀ - I‖²_F, the penalty on queries that pool the same vectors.

    Args:
      weights: A, of R queries.

    Returns:
      The penalty of each element of the batch.

    Raises:
      TypeError: the weights are not floating point.

    References:
      Lin et al., A Structured Self-attentive Sentence Embedding, 2017 (arXiv:1703.03130).

    Example:
      >>> print(redundancy(jnp.array([[1.0, 0.0], [1.0, 0.0]])), redundancy(jnp.eye(2)))
      2.0 0.0
    """
    weights = floats("weights", weights)
    products = jnp.einsum("...rs,...qs->...rq", weights, weights)
    return jnp.sum((products - jnp.eye(weights.shape[-2], dtype=weights.dtype)) ** 2, axis=(-2, -1))
