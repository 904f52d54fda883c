"""Products of what reads with what was written before it, scaled by the decays between the two tokens."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

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
        return _by_channel(reads, written, seen, after, own=own)
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


def _by_channel(reads: Array, written: Array, seen: Array, after: Array, *, own: bool) -> Float[Array, "R C"]:
    """The products of neighbouring spans of 1, 2, 4, … tokens, of which the second reads the first.

    Both are scaled to the border between them (Yang et al., 2023, §4.3): a token takes one exponential for
    each channel and length, and no array of pairs and channels is made.
    """
    tokens, size = written.shape
    each, whole = reads.shape[0] // tokens, 1 << (tokens - 1).bit_length()
    missing = whole - tokens
    reads = jnp.pad(reads.reshape(tokens, each, size), ((0, missing), (0, 0), (0, 0)))
    written = jnp.pad(written, ((0, missing), (0, 0)))
    # What fills up stands where the last token does, so that no exponent is above 0 there either.
    last = after[:, -1:]
    after = jnp.concatenate([after, jnp.broadcast_to(last, (2, missing, size))], 1)
    seen = seen.reshape(2, tokens, each, size)
    seen = jnp.concatenate([seen, jnp.broadcast_to(last[:, :, None], (2, missing, each, size))], 1)
    found = jnp.zeros((whole, each, 1), reads.dtype)
    if own:
        found = (reads * written[:, None]).sum(-1, keepdims=True)
    span = 1
    while span < whole:
        pairs = whole // (2 * span)
        later = reads.reshape(pairs, 2, span * each, size)[:, 1]
        earlier = written.reshape(pairs, 2, span, size)[:, 0]
        starts = seen.reshape(2, pairs, 2, span * each, size)[:, :, 1]
        ends = after.reshape(2, pairs, 2, span, size)[:, :, 0]
        border = ends[:, :, -1:]
        past = later * jnp.exp(between(starts, border))
        past @= jnp.swapaxes(earlier * jnp.exp(between(border, ends)), -1, -2)
        first, second = jnp.moveaxis(found.reshape(pairs, 2, span * each, span), 1, 0)
        above = jnp.concatenate([first, jnp.zeros_like(first)], -1)
        found = jnp.concatenate([above, jnp.concatenate([past, second], -1)], -2)
        span *= 2
    return found[0, : tokens * each, :tokens]
