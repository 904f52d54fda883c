"""Products of what reads with what was written before it, scaled by the decays between the two tokens."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# Decays per channel are inside the product over channels: exact differences of all pairs of so many tokens,
# and between such spans matrix products of both sides scaled to the border (Yang et al., 2023, §4.3).
SPAN = 16


def pair_products(
    reads: Float[Array, "C G H"],
    written: Float[Array, "C H"],
    seen: Any,
    after: Any,
    *,
    diagonal: bool,
) -> Float[Array, "C G C"]:
    """Σ_h reads_ih written_jh exp(seen_i - after_j) for j < i (j ≤ i with `diagonal`), else 0.

    `seen` and `after` are sums of log-decays, [C] or [C, H] or None; exponents are differences of them, at
    most 0, so that nothing overflows however far the sums go.
    """
    allowed = jnp.tri(reads.shape[0], k=0 if diagonal else -1, dtype=bool)
    if after is not None and after.ndim == 2:
        return _by_channel(reads, written, seen, after, allowed)
    products = reads @ written.T
    if after is None:
        return jnp.where(allowed[:, None], products, 0)
    return products * jnp.exp(jnp.where(allowed, seen[:, None] - after, -jnp.inf))[:, None]


def _by_channel(
    reads: Array, written: Array, seen: Array, after: Array, allowed: Bool[Array, "C C"]
) -> Float[Array, "C G C"]:
    size, rows = reads.shape[0], []
    for start in range(0, size, SPAN):
        span = slice(start, min(start + SPAN, size))
        border = after[start - 1] if start else jnp.zeros_like(after[0])
        past = (reads[span] * jnp.exp(seen[span] - border)[:, None]) @ (
            written[:start] * jnp.exp(border - after[:start])
        ).T
        inside = jnp.where(allowed[span, span, None], seen[span, None] - after[None, span], -jnp.inf)
        own = (reads[span, :, None] * (written[span] * jnp.exp(inside))[:, None]).sum(-1)
        rows.append(jnp.pad(jnp.concatenate([past, own], -1), ((0, 0), (0, 0), (0, size - span.stop))))
    return jnp.concatenate(rows)
