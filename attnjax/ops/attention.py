"""attention(), attention_weights(), merge_attention(), plan_attention(): the one entry to all engines."""

import functools
import inspect
from collections.abc import Sequence
from typing import Any, Literal, TypedDict, Unpack, overload

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from attnjax.ops.arguments import make_problem, row_indices
from attnjax.ops.core.explicit_axes import automatic, mesh_axes, spec
from attnjax.ops.engines import reference
from attnjax.ops.engines.call import AttentionCall
from attnjax.ops.engines.choose import Engine, choose, platforms
from attnjax.ops.engines.noted import note
from attnjax.ops.masks import Mask
from attnjax.ops.normalizers import Normalizer
from attnjax.ops.plan import Plan, plan_of
from attnjax.ops.scores import Score

Scores = Score | Sequence[Score]
Precision = Any


class _Options(TypedDict, total=False):
    """The keyword arguments of `attention` that do not change what it returns, for its signatures."""

    mask: Mask | Bool[Array, "..."] | None
    bias: Float[Array, "..."] | None
    score: Scores | None
    normalizer: Normalizer | None
    scale: float | Float[Array, ""] | None
    dropout_rate: float | Float[Array, ""]
    dropout_key: PRNGKeyArray | None
    implementation: str | None
    precision: Precision


def _spread(
    query: Any, key: Any, value: Any, *, return_lse: bool = False, normalize: bool = True, **_: Any
) -> Any:
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
    **options: Unpack[_Options],
) -> Float[Array, "*B T N V"]: ...


@overload
def attention(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B S K H"],
    value: Float[Array, "*B S K V"],
    *,
    return_lse: Literal[True],
    normalize: Literal[True] = ...,
    **options: Unpack[_Options],
) -> tuple[Float[Array, "*B T N V"], Float[Array, "*B N T"]]: ...


@overload
def attention(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B S K H"],
    value: Float[Array, "*B S K V"],
    *,
    normalize: Literal[False],
    return_lse: Literal[False] = ...,
    **options: Unpack[_Options],
) -> tuple[Float[Array, "*B T N V"], Float[Array, "*B N T"], Float[Array, "*B N T"]]: ...


@automatic(_spread)
def attention(
    query: Any,
    key: Any,
    value: Any,
    *,
    mask: Any = None,
    bias: Any = None,
    score: Any = None,
    normalizer: Any = None,
    scale: Any = None,
    dropout_rate: Any = 0.0,
    dropout_key: Any = None,
    return_lse: bool = False,
    normalize: bool = True,
    implementation: str | None = None,
    precision: Any = None,
) -> Any:
    """softmax(scale·q·kᵀ → score → + bias → mask)·v, for any mask, score, normaliser and head grouping.

        out_i = Σ_j dropout(w_ij) v_j,  w_i = normaliser_j(score(scale·q_i·k_j) + bias_ij, over attended j)

    Args:
        query: [*B, T, N, H]; key: [*B, S, K, H]; value: [*B, S, K, V], floating point, N divisible by K.
        mask: a mask of `attnjax.ops.masks` or a boolean array broadcastable to [*B, N, T, S]; True = attend.
        bias: broadcastable to [*B, N, T, S].
        score: scores of `attnjax.ops.scores`, applied in the order given.
        normalizer: of `attnjax.ops.normalizers`; None = softmax().
        scale: scalar; None = 1/√H.
        dropout_rate: scalar in [0, 1), may be traced; other than 0 it needs `dropout_key`.
        return_lse: also return the log-sum-exp of the scores, differentiable (softmax only).
        normalize: False = softmax without the division by the sum of a row, which is returned beside it.
        implementation: None chooses an engine, by the platform that the program is lowered for where kernels
            of other libraries can compute the call. A name ("reference", "blockwise"; on TPU "splash", on
            CUDA "cudnn" and "pallas_gpu") is honoured or raises.
        precision: of the matrix products, as in `jax.lax.dot`.

    Returns:
        out [*B, T, N, V] in the query's dtype; with `return_lse` also lse [*B, N, T], float32 (float64 for
        float64 inputs). Softmax and accumulation happen in that dtype.

        With `normalize=False` (acc, max, sum), all in that dtype: max [*B, N, T] = max_j s_ij of the scores
        s, after the mask; sum [*B, N, T] = Σ_j exp(s_ij - max_i); acc [*B, T, N, V] =
        Σ_j dropout(exp(s_ij - max_i)) v_j, so that acc / sum is out and max + log(sum) lse. A softmax sink is
        among the scores of max and sum; a row without a key has 0, -inf and 0. Two parts over other keys are
        one with m = maximum(max_1, max_2), e_p = exp(max_p - m), sum = Σ_p e_p sum_p, acc = Σ_p e_p acc_p,
        exactly at any distance of the scores from 0. max counts as a constant: its derivative is 0, those of
        acc and sum are for a fixed max, and what is made of a whole of parts has its true derivative.

    Weights are the softmax of the scores as they are rounded, however far from 0: a row that an additive bias
    of -1e9 rules out attends its keys evenly. A row without a key to attend gives output 0, lse -inf and zero
    gradients. NaN or inf in a key, value or
    bias that a row does not attend reaches neither its output nor a gradient, even where another row attends
    it; a row that does attend a non-finite key or value is not finite. The same inputs give the same bits.

    Raises ValueError or TypeError for arguments that do not fit, before anything is computed.
    Attention Is All You Need (Vaswani et al., 2017).

    >>> import attnjax as aj
    >>> x = jnp.ones((2, 5, 4, 8))
    >>> aj.attention(x, x, x, mask=aj.causal() & aj.lengths(key=jnp.array([5, 3]))).shape
    (2, 5, 4, 8)
    """
    problem = make_problem(
        query,
        key,
        value,
        mask=mask,
        bias=bias,
        score=score,
        normalizer=normalizer,
        scale=scale,
        dropout_rate=dropout_rate,
        dropout_key=dropout_key,
        precision=precision,
    )
    beside = _beside(problem, return_lse, normalize)
    engine = choose(problem, implementation, beside is not None).engine
    note(engine)
    batch = problem.rules.sizes.batch
    out, *rest = (x.reshape(*batch, *x.shape[1:]) for x in _run(engine, problem, beside))
    out = out.astype(problem.query.dtype) if normalize else out
    return (out, *rest) if rest else out


def _spread_weights(query: Any, key: Any, *, rows: Any = None, **_: Any) -> Any:
    axes = mesh_axes(query)
    return spec(*axes[:-3], *axes[-2:-1], *(axes[-3:-2] if rows is None else (None,)), *mesh_axes(key)[-3:-2])


@automatic(_spread_weights)
def attention_weights(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B S K H"],
    *,
    mask: Mask | Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    score: Scores | None = None,
    normalizer: Normalizer | None = None,
    scale: float | Float[Array, ""] | None = None,
    rows: Sequence[int] | Int[Array, " R"] | None = None,
    precision: Precision = None,
) -> Float[Array, "*B N rows S"]:
    """The weights w_ij of `attention` before dropout, [*B, N, T, S], in the softmax's dtype.

    With `rows` only those query rows are computed: [*B, N, R, S] in O(R·S). Arguments and errors as in
    `attention`; ValueError for rows outside [0, T).

    >>> x = jnp.ones((4, 1, 2))
    >>> attention_weights(x, x, rows=[0, 3]).shape
    (1, 2, 4)
    """
    problem = make_problem(
        query,
        key,
        mask=mask,
        bias=bias,
        score=score,
        normalizer=normalizer,
        scale=scale,
        precision=precision,
    )
    index = None if rows is None else row_indices(rows, problem.rules.sizes.queries)
    weights = _weights(problem, index)
    return weights.reshape(*problem.rules.sizes.batch, *weights.shape[1:])


@automatic(lambda outs, lses: (spec(*mesh_axes(outs[0])), spec(*mesh_axes(lses[0]))))
def merge_attention(
    outs: Sequence[Float[Array, "*B T N V"]] | Float[Array, "P *B T N V"],
    lses: Sequence[Float[Array, "*B N T"]] | Float[Array, "P *B N T"],
) -> tuple[Float[Array, "*B T N V"], Float[Array, "*B N T"]]:
    """Softmax attention over disjoint sets of keys, joined to attention over all of them.

        lse = log Σ_p exp(lse_p),  out = Σ_p exp(lse_p - lse) · out_p

    A part without keys (lse -inf) counts for nothing. Only one of the parts may have a softmax sink. The
    shares of the parts sum to 1 and are as exact as their lse: one number, which in float32 has no digits for
    the log of the sum where all scores lie beyond ±1e7. Returns out in the parts' dtype and lse
    [*B, N, T]; differentiable. ValueError when numbers or shapes differ.

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
    dtype = jnp.result_type(*outs, *lses, jnp.float32)
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


def plan_attention(
    query: Any,
    key: Any,
    value: Any,
    *,
    implementation: str | None = None,
    return_lse: bool = False,
    normalize: bool = True,
    **options: Any,
) -> Plan:
    """What `attention` will do with the same arguments: print it, or read its fields.

    >>> import attnjax as aj
    >>> x = jnp.ones((2048, 1, 8))
    >>> print(aj.plan_attention(x, x, x, mask=aj.sliding_window(256, 0)))  # doctest: +ELLIPSIS
    engine   blockwise: preferred for B·N·T·S from 1048576, here 4194304
    not      reference: preferred for B·N·T·S up to 1048575, here 4194304
    on tpu   splash
    on cuda  blockwise, not cudnn: the inputs are float32, it takes bfloat16 or float16
             not pallas_gpu: the inputs are float32, it takes bfloat16 or float16
    blocks   ... queries × ... keys...
    visited  ... of ..., 0 of them without a mask
    """
    try:
        inspect.signature(attention).bind(query, key, value, **options)
    except TypeError as error:
        raise TypeError(f"plan_attention {error}") from None
    problem = make_problem(query, key, value, **options)
    further = _beside(problem, return_lse, normalize) is not None
    choice = choose(problem, implementation, further)
    found = platforms(problem, choice, further) if implementation is None else {}
    return plan_of(problem, choice, found)


def _beside(problem: AttentionCall, return_lse: bool, normalize: bool) -> Literal["lse", "sums"] | None:
    """What is asked for beside the output; ValueError where there is no such."""
    if not (return_lse or not normalize):
        return None
    asked = "return_lse is True" if return_lse else "normalize is False"
    if problem.rules.normalizer.route != "online":
        name = type(problem.rules.normalizer).__name__.lower()
        has = "a log-sum-exp" if return_lse else "a maximum and a sum"
        raise ValueError(f"{asked} with {name}: only softmax has {has}")
    if return_lse and not normalize:
        raise ValueError("return_lse is True with normalize=False: there it is max + log(sum)")
    return "lse" if return_lse else "sums"


@functools.partial(jax.jit, static_argnums=(0, 2))
def _run(engine: Engine, problem: AttentionCall, beside: Literal["lse", "sums"] | None) -> tuple[Array, ...]:
    """The output and what is asked for beside it: an -inf that nobody asked for would stop `debug_infs`."""
    out, sums = engine.run(problem)
    if beside is None or sums is None:
        return (out,)
    if beside == "lse":
        return out, sums.lse
    acc = out * jnp.moveaxis(sums.total, 1, 2)[..., None]
    return acc, jnp.where(sums.total == 0, -jnp.inf, sums.highest), sums.total


_weights = jax.jit(reference.weights)
