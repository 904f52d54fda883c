"""attention() and attention_weights(): the one entry to all engines."""

import functools
from collections.abc import Sequence
from typing import Any, Literal, Unpack, overload

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attnjax.ops.arguments import AttentionOptions, WeightOptions, extras, make_call, row_indices
from attnjax.ops.core.explicit_axes import automatic, mesh_axes, spec
from attnjax.ops.core.options import spelled_out
from attnjax.ops.engines import reference
from attnjax.ops.engines.call import AttentionCall, Result
from attnjax.ops.engines.choose import Engine, choose
from attnjax.ops.engines.noted import note


def spread(
    query: Any, key: Any, value: Any, *, return_lse: bool = False, normalize: bool = True, **_: Any
) -> Any:
    """Returns how the result of a call is spread over explicit mesh axes."""
    axes = mesh_axes(query)
    out, row = spec(*axes[:-1], *mesh_axes(value)[-1:]), spec(*axes[:-3], *reversed(axes[-3:-1]))
    if not normalize:
        return out, row, row
    return (out, row) if return_lse else out


@overload
def attention(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B S K H"],
    value: Float[Array, "*B S K V"],
    *,
    return_lse: Literal[False] = ...,
    normalize: Literal[True] = ...,
    implementation: str | None = ...,
    **options: Unpack[AttentionOptions],
) -> Float[Array, "*B T N V"]: ...


@overload
def attention(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B S K H"],
    value: Float[Array, "*B S K V"],
    *,
    return_lse: Literal[True],
    normalize: Literal[True] = ...,
    implementation: str | None = ...,
    **options: Unpack[AttentionOptions],
) -> tuple[Float[Array, "*B T N V"], Float[Array, "*B N T"]]: ...


@overload
def attention(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B S K H"],
    value: Float[Array, "*B S K V"],
    *,
    normalize: Literal[False],
    return_lse: Literal[False] = ...,
    implementation: str | None = ...,
    **options: Unpack[AttentionOptions],
) -> tuple[Float[Array, "*B T N V"], Float[Array, "*B N T"], Float[Array, "*B N T"]]: ...


@overload
def attention(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B S K H"],
    value: Float[Array, "*B S K V"],
    *,
    return_lse: bool,
    normalize: bool = ...,
    implementation: str | None = ...,
    **options: Unpack[AttentionOptions],
) -> Array | tuple[Array, ...]: ...


@spelled_out(AttentionOptions, make_call)
@automatic(spread)
def attention(
    query: Any,
    key: Any,
    value: Any,
    *,
    return_lse: bool = False,
    normalize: bool = True,
    implementation: str | None = None,
    **options: Unpack[AttentionOptions],
) -> Any:
    """Returns softmax(scale·q·kᵀ → score → + bias → mask)·v, for any mask, score, normaliser and grouping.

        out_i = Σ_j dropout(w_ij) v_j,  w_i = normaliser_j(score(scale·q_i·k_j) + bias_ij, over attended j)

    A comparison takes the place of q_i·k_j.

    Weights are the softmax of the scores as they are rounded, however far from 0: a row that an additive bias
    of -1e9 rules out attends its keys evenly. A row without a key to attend gives output 0, lse -inf and zero
    gradients. NaN or inf in a key, value or bias that a row does not attend reaches neither its output nor a
    gradient, even where another row attends it; a row that does attend a non-finite key or value is not
    finite. The same inputs give the same bits.

    Args:
      query: [*B, T, N, H], floating point.
      key: [*B, S, K, H], floating point, N divisible by K.
      value: [*B, S, K, V], floating point.
      return_lse: also return the log-sum-exp of the scores, differentiable (softmax only).
      normalize: False = softmax without the division by the sum of a row, which is returned beside it.
      implementation: None chooses an engine, by the platform that the program is lowered for where kernels
        of other libraries can compute the call. A name ("reference", "blockwise"; on TPU "splash", on CUDA
        "cudnn" and "pallas_gpu") is honoured or raises.
      mask: a mask, or a boolean array broadcastable to [*B, N, T, S]; True = attend.
      bias: broadcastable to [*B, N, T, S], added after the scores.
      comparison: of a query with a key, from `attnjax.ops.comparisons`; None = q·k, for which both need one
        size H.
      score: one score or several, applied in the order given.
      normalizer: None = softmax().
      scale: scalar; None = that of the comparison, without one 1/√H.
      dropout_rate: scalar in [0, 1), may be traced; other than 0 it needs `dropout_key`.
      dropout_key: a key of jax.random.
      precision: of the matrix products, as in `jax.lax.dot`.

    Returns:
      out [*B, T, N, V] in the query's dtype; with `return_lse` also lse [*B, N, T], float32 (float64 for
      float64 inputs). Softmax and accumulation happen in that dtype.

      With `normalize=False` (acc, max, sum), all in that dtype: max [*B, N, T] = max_j s_ij of the scores s,
      after the mask; sum [*B, N, T] = Σ_j exp(s_ij - max_i); acc [*B, T, N, V] =
      Σ_j dropout(exp(s_ij - max_i)) v_j, so that acc / sum is out and max + log(sum) lse. A softmax sink is
      among the scores of max and sum; a row without a key has 0, -inf and 0. Two parts over other keys are
      one with m = maximum(max_1, max_2), e_p = exp(max_p - m), sum = Σ_p e_p sum_p, acc = Σ_p e_p acc_p,
      exactly at any distance of the scores from 0. max counts as a constant: its derivative is 0, those of
      acc and sum are for a fixed max, and what is made of a whole of parts has its true derivative.

    Raises:
      TypeError: an argument is of another type, or unknown. Nothing is computed before.
      ValueError: shapes or values do not fit, or the implementation cannot do it.

    References:
      Vaswani et al., Attention Is All You Need, 2017 (arXiv:1706.03762).

    Example:
      >>> import attnjax as aj
      >>> x = jnp.ones((2, 5, 4, 8))
      >>> aj.attention(x, x, x, mask=aj.causal() & aj.lengths(key=jnp.array([5, 3]))).shape
      (2, 5, 4, 8)
    """
    call = make_call(query, key, value, **options)
    further = extras(call, return_lse, normalize)
    engine = choose(call, implementation, further is not None).engine
    note(engine)
    batch = call.rules.sizes.batch
    out, *rest = (x.reshape(*batch, *x.shape[1:]) for x in _run(engine, call, further))
    out = out.astype(call.query.dtype) if normalize else out
    return (out, *rest) if rest else out


def _spread_weights(query: Any, key: Any, *, rows: Any = None, **_: Any) -> Any:
    axes = mesh_axes(query)
    return spec(*axes[:-3], *axes[-2:-1], *(axes[-3:-2] if rows is None else (None,)), *mesh_axes(key)[-3:-2])


@spelled_out(WeightOptions, make_call)
@automatic(_spread_weights)
def attention_weights(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B S K H"],
    *,
    rows: Sequence[int] | Int[Array, " R"] | None = None,
    **options: Unpack[WeightOptions],
) -> Float[Array, "*B N rows S"]:
    """Returns the weights w_ij of `attention` before dropout.

    Args:
      query: [*B, T, N, H], as in `attention`.
      key: [*B, S, K, H], as in `attention`.
      rows: query rows to compute, in O(R·S); None = all.
      **options: as in `attention`.

    Returns:
      [*B, N, T, S], with rows [*B, N, R, S], in the softmax's dtype.

    Raises:
      TypeError: as `attention`.
      ValueError: as `attention`, and for rows outside [0, T).

    Example:
      >>> x = jnp.ones((4, 1, 2))
      >>> attention_weights(x, x, rows=[0, 3]).shape
      (1, 2, 4)
    """
    call = make_call(query, key, **options)
    index = None if rows is None else row_indices(rows, call.rules.sizes.queries)
    weights = _weights(call, index)
    return weights.reshape(*call.rules.sizes.batch, *weights.shape[1:])


def attention_scores(
    query: Float[Array, "*B T N H"], key: Float[Array, "*B S K H"], **options: Unpack[WeightOptions]
) -> Float[Array, "*B N T S"]:
    """Returns the scores s_ij of `attention` as the normaliser takes them, -inf where a pair is masked.

    Args:
      query: [*B, T, N, H], as in `attention`.
      key: [*B, S, K, H], as in `attention`.
      **options: as in `attention`.

    Raises:
      TypeError: as `attention`.
      ValueError: as `attention`.

    Example:
      >>> attention_scores(jnp.ones((2, 1, 4)), jnp.ones((2, 1, 4)), scale=1.0).tolist()
      [[[4.0, 4.0], [4.0, 4.0]]]
    """
    call = make_call(query, key, **options)
    scores = _scores(call)
    return scores.reshape(*call.rules.sizes.batch, *scores.shape[1:])


@functools.partial(jax.jit, static_argnums=(0, 2))
def _run(engine: Engine, call: AttentionCall, further: Literal["lse", "sums"] | None) -> tuple[Array, ...]:
    """Returns the output and what is asked for beside it, no more: an -inf would stop `debug_infs`."""
    return asked_for(engine.run(call), further)


def asked_for(result: Result, further: Literal["lse", "sums"] | None) -> tuple[Array, ...]:
    """Returns of a result the output, and what is asked for beside it."""
    out, sums = result
    if further is None or sums is None:
        return (out,)
    if further == "lse":
        return out, sums.lse
    acc = out * jnp.moveaxis(sums.total, 1, 2)[..., None]
    return acc, jnp.where(sums.total == 0, -jnp.inf, sums.highest), sums.total


_weights = jax.jit(reference.weights)
_scores = jax.jit(reference.scores)
