"""TTT-linear: the state is a linear model that one step of gradient descent for each token trains."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.core.ranks import of_rank

_EPS = 1e-6


class TTTState(NamedTuple):
    """The model of each head after a row's tokens, beside what its parameters were at first.

    Attributes:
      weight, bias: what the whole mini-batches so far have added to them.
      weight_sum, bias_sum: the sums of the gradients of the mini-batch that is not whole yet, times rates.
    """

    weight: Float[Array, "*B N H H"]
    bias: Float[Array, "*B N H"]
    weight_sum: Float[Array, "*B N H H"]
    bias_sum: Float[Array, "*B N H"]

    @classmethod
    def zeros(cls, batch: tuple[int, ...], heads: int, size: int, dtype: Any) -> "TTTState":
        """Returns the state before the first token."""
        weight, bias = jnp.zeros((*batch, heads, size, size), dtype), jnp.zeros((*batch, heads, size), dtype)
        return cls(weight, bias, weight, bias)


class _Model(NamedTuple):
    """Parameters of one head."""

    weight: Float[Array, "H H"]
    bias: Float[Array, " H"]
    gain: Float[Array, " H"]
    shift: Float[Array, " H"]


class _Tokens(NamedTuple):
    """Tokens of one head, in mini-batches."""

    query: Float[Array, "M C H"]
    key: Float[Array, "M C H"]
    value: Float[Array, "M C H"]
    rate: Float[Array, "M C"]
    real: Bool[Array, "M C"]


def ttt_linear(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T N H"],
    value: Float[Array, "*B T N H"],
    *,
    weight: Float[Array, "N H H"],
    bias: Float[Array, "N H"],
    gain: Float[Array, "N H"],
    shift: Float[Array, "N H"],
    rate: Float[Array, "*B T N"],
    place_rate: Float[Array, " C"],
    state: TTTState | None = None,
    before: Int[Array, "*B"] | None = None,
    counts: Int[Array, "*B"] | None = None,
) -> tuple[Float[Array, "*B T N H"], TTTState]:
    """Returns what the models read for every token, and the state after each row's last one.

        f(x; W, b) = x + norm(x W + b);  l_j = ½ |f(k_j) - v_j|², its gradient where the mini-batch began
        W_t = W_0 - p_t Σ_{j≤t} η_j ∇_W l_j over the tokens j of the mini-batch;  o_t = f(q_t; W_t, b_t)

    All tokens of a mini-batch are products of matrices (the paper's dual form); mini-batches follow one after
    another. One that is not whole goes on in the next call, at any place.

    Args:
      query: [*B, T, N, H].
      key: [*B, T, N, H].
      value: [*B, T, N, H].
      weight: [N, H, H], W before the first token.
      bias: [N, H], b before the first token.
      gain: [N, H], of each head's LayerNorm.
      shift: [N, H], of each head's LayerNorm.
      rate: [*B, T, N], η, what a token's gradient counts.
      place_rate: [C], p, by the place in the mini-batch; C is its size.
      state: of the tokens before these ones; None: there are none.
      before: [*B], their number; None: 0.
      counts: [*B], the number of each row's tokens; those after them are padding, which gives 0. None: T.

    References:
      Sun et al., Learning to (Learn at Test Time): RNNs with Expressive Hidden States, 2024,
      arXiv:2407.04620.

    Example:
      >>> x, zeros = jnp.ones((3, 1, 2)) * jnp.arange(2.0), jnp.zeros((1, 2))
      >>> model = {"weight": jnp.zeros((1, 2, 2)), "bias": zeros, "gain": zeros + 1, "shift": zeros}
      >>> out, state = ttt_linear(x, x, x, **model, rate=jnp.ones((3, 1)), place_rate=jnp.ones(2))
      >>> out.shape, state.weight.shape
      ((3, 1, 2), (1, 2, 2))
    """
    *batch, length, heads, size = query.shape
    wide, chunk = accumulation_dtype(query, key, value, rate, weight), place_rate.shape[0]
    state = TTTState.zeros(tuple(batch), heads, size, wide) if state is None else state
    # The places of a mini-batch that earlier calls have filled are left free in front.
    free = jnp.zeros(batch, jnp.int32) if before is None else before % chunk
    chunks = -(-(length + (0 if before is None else chunk - 1)) // chunk)
    ends = free + (length if counts is None else counts)
    place = of_rank(jnp.arange(chunks * chunk, dtype=jnp.int32), len(batch) + 1)
    real = (place >= free[..., None]) & (place < ends[..., None])
    source = jnp.clip(place - free[..., None], 0, max(length - 1, 0))

    def cut(x: Array) -> Array:
        """Returns x [*B, T, N, …] as [*B, N, M, C, …]."""
        axes = [1] * (x.ndim - len(batch) - 1)
        moved = jnp.take_along_axis(x.astype(wide), source.reshape(*source.shape, *axes), axis=len(batch))
        moved = jnp.moveaxis(moved, len(batch) + 1, len(batch))
        return moved.reshape(*batch, heads, chunks, chunk, *moved.shape[len(batch) + 2 :])

    shown = jnp.broadcast_to(real[..., None, :], (*batch, heads, chunks * chunk))
    shown = shown.reshape(*batch, heads, chunks, chunk)
    tokens = _Tokens(cut(query), cut(key), cut(value), cut(rate), shown)
    model = _Model(*(x.astype(wide) for x in (weight, bias, gain, shift)))

    def of_head(tokens: _Tokens, model: _Model, state: TTTState) -> tuple[Array, TTTState]:
        return _of_head(tokens, model, state, place_rate.astype(wide))

    run = jax.vmap(of_head)
    for _ in batch:
        run = jax.vmap(run, in_axes=(0, None, 0))
    out, after = run(tokens, model, TTTState(*(x.astype(wide) for x in state)))
    out = jnp.moveaxis(out.reshape(*batch, heads, chunks * chunk, size), len(batch), len(batch) + 1)
    index = of_rank(jnp.arange(length, dtype=jnp.int32), free.ndim + 1) + free[..., None]
    out = jnp.take_along_axis(out, index[..., None, None], axis=len(batch))
    if counts is not None:
        out = jnp.where(
            (of_rank(jnp.arange(length), counts.ndim + 1) < counts[..., None])[..., None, None], out, 0
        )
    return out.astype(query.dtype), after


def _of_head(
    tokens: _Tokens, model: _Model, state: TTTState, place_rate: Float[Array, " C"]
) -> tuple[Float[Array, "M C H"], TTTState]:
    lower = jnp.tri(place_rate.shape[0], dtype=place_rate.dtype)

    def normed(x: Array) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        return (
            centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + _EPS) * model.gain[None]
            + model.shift[None]
        )

    @jax.checkpoint
    def mini_batch(state: TTTState, these: _Tokens) -> tuple[TTTState, Array]:
        weight, bias = model.weight + state.weight, model.bias + state.bias
        found, pull_back = jax.vjp(normed, these.key @ weight + bias[None])
        (slope,) = pull_back(found - (these.value - these.key))
        slope = slope * (these.rate * these.real.astype(these.rate.dtype))[:, None]
        scores = lower * (these.query @ these.key.T)
        sums = scores @ slope + these.query @ state.weight_sum + lower @ slope + state.bias_sum[None]
        out = these.query + normed(these.query @ weight + bias[None] - place_rate[:, None] * sums)
        weight_sum = state.weight_sum + these.key.T @ slope
        bias_sum = state.bias_sum + slope.sum(0)
        whole = these.real[-1]
        last = jnp.where(whole, place_rate[-1], 0)
        after = TTTState(
            state.weight - last * weight_sum,
            state.bias - last * bias_sum,
            jnp.where(whole, 0, weight_sum),
            jnp.where(whole, 0, bias_sum),
        )
        return after, out

    after, out = jax.lax.scan(mini_batch, state, tokens)
    return out, after
