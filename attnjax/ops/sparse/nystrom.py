"""Nyström attention: softmax attention through a few landmarks, with an approximate inverse."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from attnjax.ops import masks
from attnjax.ops.attention import attention, attention_weights
from attnjax.ops.core.checks import count
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.sparse.blocks import in_blocks


def nystrom_attention(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    landmarks: int,
    *,
    iterations: int = 6,
    tokens: Bool[Array, "*#B T"] | None = None,
    scale: Any = None,
) -> Float[Array, "*B T N V"]:
    """Returns attention of all tokens to all through landmarks, the means of stretches of the text.

        out = softmax(q k̃ᵀ) · softmax(q̃ k̃ᵀ)⁺ · softmax(q̃ kᵀ) v

    q̃ and k̃ are means over `landmarks` stretches of ⌈T/landmarks⌉ tokens, the last ones of fewer. The
    pseudo-inverse is that of the paper: from Aᵀ/‖A‖₁, Z ← Z(13 - AZ(15 - AZ(7 - AZ)))/4. Here ‖A‖₁ is of each
    head; with the largest one of a batch, as in the first code of the authors, rows would know each other.

    Args:
      query: [*B, T, N, H].
      key: [*B, T, K, H], N divisible by K.
      value: [*B, T, K, V].
      landmarks: at least 1.
      iterations: of the inverse.
      tokens: True for what is a token; None: all. Padding takes part in no mean and is not seen.
      scale: of the products; None = 1/√H.

    Returns:
      [*B, T, N, V].

    Raises:
      ValueError: landmarks or iterations is below 1.

    References:
      Xiong et al., Nyströmformer: A Nyström-Based Algorithm for Approximating Self-Attention, 2021
      (arXiv:2102.03902).

    Example:
      >>> x = jnp.ones((6, 1, 2))
      >>> bool(jnp.allclose(nystrom_attention(x, x, x, 3, iterations=20), x, atol=1e-5))
      True
    """
    size = -(-query.shape[-3] // min(count("landmarks", landmarks), query.shape[-3]))
    heads, groups = query.shape[-2], key.shape[-2]
    tokens = jnp.ones(query.shape[-3], bool) if tokens is None else tokens
    members = in_blocks(tokens, size, fill=False)[..., None, None]

    def means(x: Array) -> Array:
        sums = jnp.where(members, in_blocks(x, size, axis=-3), 0).sum(axis=-3)
        return sums / of_rank(jnp.maximum(members.sum(axis=-3), 1), sums.ndim).astype(x.dtype)

    short_query, short_key = means(query), means(key)
    present = members.any(axis=-3)[..., 0, 0]
    see_landmarks = masks.dense(present[..., None, None, :])
    rows = masks.dense((present[..., :, None] & present[..., None, :])[..., None, :, :])
    see_tokens = masks.dense(tokens[..., None, None, :])
    read = attention(short_query, key, value, mask=see_tokens, scale=scale)
    between = attention_weights(short_query, short_key, mask=rows, scale=scale)
    values = jnp.einsum("...nlm,...mnv->...lnv", _inverse(between, count("iterations", iterations)), read)
    keys = jnp.repeat(short_key, heads // groups, axis=-2)
    return attention(query, keys, values.astype(query.dtype), mask=see_landmarks, scale=scale)


def _inverse(matrix: Float[Array, "*B L L"], iterations: int) -> Float[Array, "*B L L"]:
    """Returns the pseudo-inverse of matrices whose rows are weights; rows and columns of zeros stay."""
    largest = matrix.sum(axis=-2).max(axis=-1)[..., None, None]
    inverse = jnp.swapaxes(matrix, -1, -2) / jnp.where(largest > 0, largest, 1)
    one = of_rank(jnp.eye(matrix.shape[-1], dtype=matrix.dtype), matrix.ndim)
    for _ in range(iterations):
        near = matrix @ inverse
        inverse = 0.25 * inverse @ (13 * one - near @ (15 * one - near @ (7 * one - near)))
    return inverse
