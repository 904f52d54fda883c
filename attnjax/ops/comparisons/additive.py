"""The sum of query and key through a tanh."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.comparisons.base import Compared, Comparison, PairFunction, of_heads
from attnjax.ops.core.checks import floats
from attnjax.ops.core.node import varying


def additive(v: Float[Array, "N H"] | Float[Array, " H"]) -> Comparison:
    """Returns the comparison v·tanh(q + k), of queries and keys that are projected already.

    With Bahdanau's W s and U h + b as query and key it is vᵀ tanh(W s + U h + b). The blockwise engine
    computes it channel by channel, forward and backward, and holds no array [T, S, H].

    Args:
      v: of each head, or one for all.

    Returns:
      The comparison.

    Raises:
      TypeError: v is not floating point.
      ValueError: its shape does not fit (when attention is called).

    References:
      Bahdanau et al., Neural Machine Translation by Jointly Learning to Align and Translate, 2014
      (arXiv:1409.0473).

    Example:
      >>> import attnjax as aj
      >>> x = jnp.array([[-9.0], [9.0]])
      >>> print(aj.matrix_attention(x, x, comparison=additive(jnp.array([2.0]))).round(2))
      [[-2.  0.]
       [ 0.  2.]]
    """
    return Additive(floats("v", v), None, None)


def concat(
    v: Float[Array, "N M"] | Float[Array, " M"],
    query_weight: Float[Array, "N H M"] | Float[Array, "H M"],
    key_weight: Float[Array, "K R M"] | Float[Array, "R M"],
) -> Comparison:
    """Returns the comparison v·tanh(W [q; k]) = v·tanh(q W_q + k W_k), as `additive` after two maps.

    Args:
      v: of each head, or one for all.
      query_weight: W_q, the part of W that meets the query; of each head, or one for all.
      key_weight: W_k, likewise of each key head.

    Returns:
      The comparison.

    Raises:
      TypeError: an array is not floating point.
      ValueError: a shape does not fit (when attention is called).

    References:
      Luong et al., Effective Approaches to Attention-based Neural Machine Translation, 2015
      (arXiv:1508.04025).

    Example:
      >>> import attnjax as aj
      >>> x, one = jnp.array([[-9.0], [9.0]]), jnp.array([[1.0]])
      >>> print(aj.matrix_attention(x, x, comparison=concat(one[0], 2 * one, one)).round(2))
      [[-1. -1.]
       [ 1.  1.]]
    """
    return Additive(floats("v", v), floats("query_weight", query_weight), floats("key_weight", key_weight))


class Additive(Comparison):
    """The comparison that `additive` and `concat` return."""

    v: Any
    query_weight: Any
    key_weight: Any

    def prepare(self, query: Array, key: Array, scale: Array, precision: Any) -> Compared:
        """Returns what engines compare."""
        channels = self.v.shape[-1] if self.v.ndim else 1

        def mapped(name: str, x: Array, weight: Any) -> Array:
            if weight is None:
                return x
            weight = of_heads(name, weight, {"H": x.shape[-1], "M": channels}, x.shape[-2]).astype(x.dtype)
            return jnp.einsum("...tnh,nhm->...tnm", x, weight, precision=precision)

        query, key = (
            mapped("query_weight", query, self.query_weight),
            mapped("key_weight", key, self.key_weight),
        )
        if not query.shape[-1] == key.shape[-1] == channels:
            raise ValueError(
                f"query {list(query.shape)}, key {list(key.shape)}, v {list(self.v.shape)}: expected one "
                "size H"
            )
        v = scale * of_heads("v", self.v, {"H": channels}, query.shape[-2]).astype(query.dtype)
        # Parameters ride with the queries: engines cut, share and differentiate them as these.
        query = jnp.concatenate([query, jnp.broadcast_to(v, query.shape)], axis=-1)
        return Compared(query, key, jnp.ones_like(scale), pairs=TANH)


def _plain(query: Float[Array, "... t 2H"], key: Float[Array, "... s H"]) -> Float[Array, "... t s"]:
    query, v = jnp.split(query, 2, axis=-1)
    return jnp.sum(v[..., None, :] * jnp.tanh(query[..., None, :] + key[..., None, :, :]), axis=-1)


def _lean(query: Float[Array, "... t 2H"], key: Float[Array, "... s H"]) -> Float[Array, "... t s"]:
    """Adds up the channels one by one, over pairs that lie side by side."""
    channels = [jnp.moveaxis(x, -1, 0) for x in (*jnp.split(query, 2, axis=-1), key)]

    @jax.checkpoint
    def term(query: Array, v: Array, key: Array) -> Array:
        return v[..., None] * jnp.tanh(query[..., None] + key[..., None, :])

    start = jnp.zeros((*query.shape[:-1], key.shape[-2]), query.dtype)
    total, _ = jax.lax.scan(
        lambda total, channel: (total + term(*channel), None), varying(start, (query, key)), tuple(channels)
    )
    return total


def _pull(
    query: Float[Array, "... t 2H"], key: Float[Array, "... s H"], moved: Float[Array, "... t s"]
) -> tuple[Float[Array, "... t 2H"], Float[Array, "... s H"]]:
    """Computes each tanh again, query by query: sums over keys are products of a vector with a matrix then.

    d_q = v ∘ Σ_s moved_s (1 - tanh²),  d_v = Σ_s moved_s tanh,  d_k = Σ_t moved_t v_t ∘ (1 - tanh²)
    """

    @jax.checkpoint
    def step(d_key: Array, row: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        query, v, moved = row
        hidden = jnp.tanh(query[..., None, :] + key)
        slope = 1 - hidden * hidden
        d_query = v * jnp.einsum("...s,...sh->...h", moved, slope)
        d_v = jnp.einsum("...s,...sh->...h", moved, hidden)
        return d_key + moved[..., None] * v[..., None, :] * slope, jnp.concatenate([d_query, d_v], axis=-1)

    rows = tuple(jnp.moveaxis(x, -2, 0) for x in (*jnp.split(query, 2, axis=-1), moved))
    start = varying(jnp.zeros_like(key), (query, key, moved))
    d_key, d_query = jax.lax.scan(step, start, rows)
    return jnp.moveaxis(d_query, 0, -2), d_key


TANH = PairFunction(_plain, _lean, _pull)
"""v·tanh(q + k) of vectors [q; v] and k."""
