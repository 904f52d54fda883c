"""Members that decay every channel by its own gate: GLA, HGRN2, RWKV-6."""

from typing import Any, Unpack

import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.checks import scalar
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.linear.attention import linear_attention, linear_recurrence
from attnjax.ops.linear.call import log_decay
from attnjax.ops.linear.members.common import (
    Options,
    at_least_float32,
    entrance,
    known_arguments,
    parameter,
    passed,
    per_channel,
)


@known_arguments
def gla(
    query: Any,
    key: Any,
    value: Any,
    *,
    decay: Float[Array, "*B T K H"],
    scale: Any = None,
    **options: Unpack[Options],
) -> Any:
    """S_t = diag(e^{g_t}) S_{t-1} + k_t v_tᵀ; o_t = scale · S_tᵀ q_t: gated linear attention.

    `decay` [*B, T, K, H] is g <= 0, one per channel of the key. Other arguments, result and errors as in
    `linear_attention`. Gated Linear Attention Transformers (Yang et al., 2023).

    >>> x = jnp.ones((3, 1, 2))
    >>> gla(x, x, x, decay=jnp.log(jnp.array([[[1.0, 0.5]]])), scale=1.0)[:, 0, 0]
    Array([2.  , 3.5 , 4.75], dtype=float32)
    """
    query, key, value = entrance(query, key, value, options)
    decay = per_channel("decay", decay, key, options)
    return linear_attention(query, key, value, decay=decay, scale=scale, **options)


@known_arguments
def hgrn2(
    query: Any,
    log_forget: Float[Array, "*B T K H"],
    value: Any,
    *,
    scale: Any = 1.0,
    **options: Unpack[Options],
) -> Any:
    """S_t = diag(f_t) S_{t-1} + (1 - f_t) v_tᵀ; o_t = scale · S_tᵀ q_t: the key is what is forgotten.

    In place of a key comes `log_forget` [*B, T, K, H], log f <= 0. Other arguments, result and errors as in
    `linear_attention`. HGRN2 (Qin et al., 2024); its lower bounds of f are left out, by the layer too.

    >>> x = jnp.ones((3, 1, 1))
    >>> print(hgrn2(x, jnp.log(0.5 * x), x).ravel())
    [0.5   0.75  0.875]
    """
    query, log_forget, value = entrance(query, log_forget, value, options)
    log_decay("log_forget", log_forget)
    key = -jnp.expm1(at_least_float32(log_forget))
    return linear_attention(query, key, value, decay=log_forget, scale=scale, **options)


@known_arguments
def rwkv6(
    query: Any,
    key: Any,
    value: Any,
    *,
    decay: Float[Array, "*B T K H"],
    bonus: Float[Array, "K H"],
    scale: Any = 1.0,
    **options: Unpack[Options],
) -> Any:
    """o_t = scale · (S_{t-1} + diag(u) k_t v_tᵀ)ᵀ r_t; S_t = diag(e^{g_t}) S_{t-1} + k_t v_tᵀ.

    A token reads the state before its own decay, and itself by the bonus u. The paper's r is `query`;
    `decay` [*B, T, K, H] is g <= 0 (-exp(w) there), `bonus` [K, H] is u. Other arguments, result and errors
    as in `linear_attention`. Eagle and Finch (Peng et al., 2024).

    >>> x = jnp.ones((3, 1, 1))
    >>> print(rwkv6(x, x, x, decay=jnp.log(0.5 * x), bonus=jnp.full((1, 1), 3.0)).ravel())
    [3.  4.  4.5]
    """
    query, key, value = entrance(query, key, value, options)
    decay = per_channel("decay", decay, key, options)
    bonus = parameter("bonus", bonus, key.shape[-2:], "K, H")
    out, state = linear_recurrence(
        query, key, value, decay=decay, scale=scale, read="before", **passed(options)
    )
    groups = query.reshape(*key.shape[:-1], query.shape[-2] // key.shape[-2], key.shape[-1])
    own = jnp.einsum("...kgh,...kh->...kg", groups, of_rank(bonus, key.ndim) * key)
    own = own[..., None] * value[..., None, :]
    own = scalar("scale", scale) * own.reshape(out.shape)
    out = (out + own).astype(out.dtype)
    return (out, state) if options.get("return_state") else out
