"""merge_attention(): attention over parts of the keys, joined."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.core.explicit_axes import automatic, mesh_axes, spec


@automatic(lambda outs, lses: (spec(*mesh_axes(outs[0])), spec(*mesh_axes(lses[0]))))
def merge_attention(
    outs: Sequence[Float[Array, "*B T N V"]] | Float[Array, "P *B T N V"],
    lses: Sequence[Float[Array, "*B N T"]] | Float[Array, "P *B N T"],
) -> tuple[Float[Array, "*B T N V"], Float[Array, "*B N T"]]:
    """Joins softmax attention over disjoint sets of keys to attention over all of them.

        lse = log Σ_p exp(lse_p),  out = Σ_p exp(lse_p - lse) · out_p

    A part without keys (lse -inf) counts for nothing. Only one of the parts may have a softmax sink. The
    shares of the parts sum to 1 and are as exact as their lse: one number, which in float32 has no digits for
    the log of the sum where all scores lie beyond ±1e7.

    Args:
      outs: the output of each part, [*B, T, N, V].
      lses: the log-sum-exp of each part, [*B, N, T].

    Returns:
      out in the parts' dtype, and lse; both differentiable.

    Raises:
      ValueError: numbers or shapes of the parts differ.

    References:
      Liu et al., Ring Attention with Blockwise Transformers for Near-Infinite Context, 2023
      (arXiv:2310.01889).

    Example:
      >>> import attnjax as aj
      >>> q, k = jnp.ones((2, 1, 4)), jnp.arange(24.0).reshape(6, 1, 4)
      >>> parts = [aj.attention(q, k[s], k[s], return_lse=True) for s in (slice(0, 2), slice(2, 6))]
      >>> out, lse = aj.merge_attention(*zip(*parts))
      >>> bool(jnp.allclose(out, aj.attention(q, k, k)))
      True
    """
    outs, lses = [jnp.asarray(x) for x in outs], [jnp.asarray(x) for x in lses]
    if not outs or len(outs) != len(lses):
        raise ValueError(f"outs has {len(outs)} parts, lses {len(lses)}: expected as many, at least one")
    for out, lse in zip(outs, lses, strict=True):
        expected = (*out.shape[:-3], out.shape[-2], out.shape[-3]) if out.ndim >= 3 else None
        if out.shape != outs[0].shape:
            raise ValueError(
                f"a part has out {list(out.shape)}: expected {list(outs[0].shape)} (*B, T, N, V) as the first"
            )
        if lse.shape != expected:
            raise ValueError(
                f"a part has lse {list(lse.shape)} with out {list(out.shape)} (*B, T, N, V): "
                + (
                    "expected an out of at least 3 axes"
                    if expected is None
                    else f"expected lse {list(expected)} (*B, N, T)"
                )
            )
    dtype = accumulation_dtype(*outs, *lses)
    stacked = jnp.stack([x.astype(dtype) for x in lses])
    present = ~jnp.isneginf(stacked)
    highest = jax.lax.stop_gradient(jnp.max(jnp.where(present, stacked, -jnp.inf), axis=0))
    highest = jnp.where(jnp.isneginf(highest), 0, highest)
    shares = jnp.where(present, jnp.exp(jnp.where(present, stacked, highest[None]) - highest[None]), 0)
    total = shares.sum(axis=0)
    safe = jnp.where(total == 0, 1, total)
    weights = jnp.swapaxes(shares / safe[None], -1, -2)[..., None]
    parts = jnp.where(weights > 0, jnp.stack(outs).astype(dtype), 0)
    lse = jnp.where(total == 0, -jnp.inf, highest + jnp.log(safe))
    return (weights * parts).sum(axis=0).astype(outs[0].dtype), lse
