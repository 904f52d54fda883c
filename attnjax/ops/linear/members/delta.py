"""Members that erase what a key held before they write: the delta rules and RWKV-7.

Their keys should have length 1 (RWKV-7: `removal`): a write of strength 1 then replaces what the key held.
"""

from typing import Any, Unpack

import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.linear.attention import linear_attention
from attnjax.ops.linear.call import log_decay
from attnjax.ops.linear.members.common import (
    Options,
    at_least_float32,
    entrance,
    known_arguments,
    not_negative,
    per_channel,
    per_head,
)


@known_arguments
def delta_net(
    query: Any,
    key: Any,
    value: Any,
    *,
    strength: Float[Array, "*B T K"],
    scale: Any = None,
    **options: Unpack[Options],
) -> Any:
    """S_t = S_{t-1} - β_t k_t (k_tᵀ S_{t-1}) + β_t k_t v_tᵀ; o_t = scale · S_tᵀ q_t: the delta rule.

    `strength` [*B, T, K] is β, in [0, 1], or up to 2 for negative eigenvalues; keys of length 1. Other
    arguments, result and errors as in `linear_attention`. Linear Transformers are Fast Weight Programmers
    (Schlag et al., 2021), Parallelizing Linear Transformers with the Delta Rule (Yang et al., 2024).

    >>> x = jnp.ones((3, 1, 1))
    >>> print(delta_net(x, x, jnp.array([[[1.0]], [[5.0]], [[3.0]]]), strength=jnp.full((3, 1), 0.5)).ravel())
    [0.5   2.75  2.875]
    """
    query, key, value = entrance(query, key, value, options)
    strength = per_head("strength", strength, key, options)
    return delta_rule(query, key, value, strength, None, scale, options)


@known_arguments
def gated_delta_net(
    query: Any,
    key: Any,
    value: Any,
    *,
    decay: Float[Array, "*B T K"],
    strength: Float[Array, "*B T K"],
    scale: Any = None,
    **options: Unpack[Options],
) -> Any:
    """S_t = e^{g_t} (S_{t-1} - β_t k_t (k_tᵀ S_{t-1})) + β_t k_t v_tᵀ; o_t = scale · S_tᵀ q_t.

    `decay` [*B, T, K] is g <= 0 and `strength` [*B, T, K] is β, in [0, 1] or up to 2; keys of length 1. Other
    arguments, result and errors as in `linear_attention`. Gated Delta Networks (Yang et al., 2024).

    >>> x, half = jnp.ones((3, 1, 1)), jnp.full((3, 1), 0.5)
    >>> print(gated_delta_net(x, x, x, decay=jnp.log(half), strength=half).ravel())
    [0.5     0.625   0.65625]
    """
    query, key, value = entrance(query, key, value, options)
    decay = per_head("decay", decay, key, options)
    strength = per_head("strength", strength, key, options)
    return delta_rule(query, key, value, strength, decay, scale, options)


@known_arguments
def kda(
    query: Any,
    key: Any,
    value: Any,
    *,
    decay: Float[Array, "*B T K H"],
    strength: Float[Array, "*B T K"],
    scale: Any = None,
    **options: Unpack[Options],
) -> Any:
    """S_t = (I - β_t k_t k_tᵀ) diag(e^{g_t}) S_{t-1} + β_t k_t v_tᵀ; o_t = scale · S_tᵀ q_t.

    The gated delta rule with a decay per channel: `decay` [*B, T, K, H] is g <= 0, `strength` [*B, T, K] is
    β; keys of length 1. Other arguments, result and errors as in `linear_attention`. Kimi Linear (2025).

    >>> x, half = jnp.ones((3, 1, 1)), jnp.full((3, 1), 0.5)
    >>> print(kda(x, x, x, decay=jnp.log(half)[..., None], strength=half).ravel())
    [0.5     0.625   0.65625]
    """
    query, key, value = entrance(query, key, value, options)
    decay = per_channel("decay", decay, key, options)
    strength = per_head("strength", strength, key, options)
    return delta_rule(query, key, value, strength, decay, scale, options)


@known_arguments
def rwkv7(
    query: Any,
    key: Any,
    value: Any,
    *,
    decay: Float[Array, "*B T K H"],
    removal: Float[Array, "*B T K H"],
    learning_rate: Float[Array, "*B T K H"],
    scale: Any = 1.0,
    **options: Unpack[Options],
) -> Any:
    """S_t = diag(e^{g_t}) S_{t-1} - (a_t ⊙ κ̂_t) (κ̂_tᵀ S_{t-1}) + k_t v_tᵀ; o_t = scale · S_tᵀ r_t.

    What is removed (κ̂, `removal`, of length 1), how much of it (a, `learning_rate`, in [0, 1]) and what is
    written (`key`) are three vectors, each [*B, T, K, H] as is `decay`, g <= 0; the paper's r is `query`, its
    state the transpose of this one. Its bonus r·(ρ ⊙ k) v, which follows a norm of the output, is left out,
    by the layer too. Other arguments, result and errors as in `linear_attention`. RWKV-7 "Goose" (Peng et
    al., 2025).

    >>> x, half = jnp.ones((3, 1, 1)), jnp.full((3, 1, 1), 0.5)
    >>> print(rwkv7(x, x, x, decay=jnp.log(half), removal=x, learning_rate=half / 2).ravel())
    [1.     1.25   1.3125]
    """
    query, key, value = entrance(query, key, value, options)
    decay = per_channel("decay", decay, key, options)
    removal = per_channel("removal", removal, key, options)
    write = per_channel("learning_rate", learning_rate, key, options) * removal
    return linear_attention(
        query, key, value, decay=decay, erase=removal, write=write, scale=scale, **options
    )


def delta_rule(
    query: Array,
    key: Array,
    value: Array,
    strength: Array,
    decay: Array | None,
    scale: Any,
    options: Options,
) -> Any:
    """The delta rule after the decay; what it erases is read before, so the decay joins the erasing key."""
    erase = at_least_float32(key)
    if decay is not None:
        kept = jnp.exp(at_least_float32(log_decay("decay", decay)))
        erase = (kept if kept.ndim == key.ndim else kept[..., None]) * erase
    written = not_negative("strength", strength)[..., None] * at_least_float32(key)
    return linear_attention(query, written, value, decay=decay, erase=erase, scale=scale, **options)
