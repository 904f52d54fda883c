"""Products of what reads with what was written before it, scaled by the decays between the two tokens."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# Decays per channel are inside the product over channels: exact differences of all pairs of so many tokens,
# and between such spans matrix products of both sides scaled to the border (Yang et al., 2023, §4.3).
SPAN = 16

# Sums of log-decays up to a row, in two parts: see `log_sums`.
Logs = Float[Array, "2 R"] | Float[Array, "2 R H"] | None


def log_sums(decay: Float[Array, "C *H"]) -> Float[Array, "2 C *H"]:
    """The log-decays up to and with each token: sums of whole numbers, and of what is left of each.

    The first are exact and the second stay small, so that `between` keeps its digits after tokens that forget
    everything, which move the sums far from 0. As a product, at full precision: XLA would fuse a cumulative
    sum into all that reads it, again and again.
    """
    whole = jax.lax.stop_gradient(jnp.round(decay))
    lower = jnp.tri(decay.shape[0], dtype=decay.dtype)
    return jnp.stack([jnp.matmul(lower, x, precision="highest") for x in (whole, decay - whole)])


def between(later: Float[Array, "2 *axes"], earlier: Float[Array, "2 *axes"]) -> Float[Array, "*axes"]:
    """The sum of the log-decays after one token up to another."""
    return (later[0] - earlier[0]) + (later[1] - earlier[1])


def pair_products(
    reads: Float[Array, "R H"], written: Float[Array, "C H"], seen: Logs, after: Logs, *, own: bool
) -> Float[Array, "R C"]:
    """Σ_h reads_ih written_jh exp(seen_i - after_j) where row i reads token j, else 0.

    R / C rows belong to each token; they read the tokens before theirs, and with `own` theirs. `seen` and
    `after` are `log_sums`, for each row and each token, of one number or of H. Exponents are differences of
    them, at most 0: nothing overflows, however far the sums go.
    """
    each = reads.shape[0] // written.shape[0]
    allowed = jnp.repeat(jnp.tri(written.shape[0], k=0 if own else -1, dtype=bool), each, axis=0)
    if seen is None or after is None:
        return jnp.where(allowed, reads @ written.T, 0)
    if after.ndim == 3:
        return _by_channel(reads, written, seen, after, allowed)
    return (reads @ written.T) * jnp.exp(
        jnp.where(allowed, between(seen[..., None], after[:, None]), -jnp.inf)
    )


def scaled(
    x: Float[Array, "R H"], log: Float[Array, " R"] | Float[Array, "R H"] | None
) -> Float[Array, "R H"]:
    """Each row times exp(log)."""
    if log is None:
        return x
    return x * jnp.exp(log if log.ndim == x.ndim else log[:, None])


def _by_channel(
    reads: Array, written: Array, seen: Array, after: Array, allowed: Bool[Array, "R C"]
) -> Float[Array, "R C"]:
    tokens, rows = written.shape[0], []
    each = reads.shape[0] // tokens
    for start in range(0, tokens, SPAN):
        stop = min(start + SPAN, tokens)
        span, own = slice(start * each, stop * each), slice(start, stop)
        border = after[:, start - 1, None] if start else jnp.zeros_like(after[:, :1])
        past = scaled(reads[span], between(seen[:, span], border))
        past @= scaled(written[:start], between(border, after[:, :start])).T
        log = between(seen[:, span, None], after[:, None, own])
        log = jnp.where(allowed[span, own, None], log, -jnp.inf)
        present = (reads[span, None] * written[None, own] * jnp.exp(log)).sum(-1)
        rows.append(jnp.pad(jnp.concatenate([past, present], -1), ((0, 0), (0, tokens - stop))))
    return jnp.concatenate(rows)
