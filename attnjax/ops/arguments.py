"""From the arguments of a call to a `Problem`: every check of the contract, before anything is computed."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from attnjax.ops.dropout import Dropout, dropout
from attnjax.ops.engines.problem import Problem, Rules
from attnjax.ops.grid import Sizes
from attnjax.ops.masks import Mask, dense
from attnjax.ops.normalizers import Normalizer, softmax
from attnjax.ops.scores import PairBias, Score, flatten


def make_problem(
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
    precision: Any = None,
) -> Problem:
    """The call in normal form; ValueError or TypeError naming the argument that does not fit."""
    query, key, value = (_tokens(name, x) for name, x in (("query", query), ("key", key), ("value", value)))
    sizes = _sizes(query, key, value)
    dtype = jnp.result_type(query, key, value, jnp.float32)
    rules = Rules(
        mask=_mask(mask, sizes),
        scores=_scores(score, bias, sizes, dtype),
        normalizer=_normalizer(normalizer).bind(sizes, dtype),
        dropout=_dropout(dropout_rate, dropout_key, sizes),
        sizes=sizes,
        precision=precision,
    )
    scale = _scale(scale, query.shape[-1], dtype)
    query, key, value = (x.reshape(sizes.flat_batch, *x.shape[-3:]) for x in (query, key, value))
    return Problem(query, key, value, scale, rules)


def row_indices(rows: Any, queries: int) -> Array:
    """Query rows as an index array [R]; ValueError when they are not integers of one axis inside [0, T)."""
    index = jnp.asarray(rows)
    if index.ndim != 1 or not (index.size == 0 or jnp.issubdtype(index.dtype, jnp.integer)):
        raise ValueError(f"rows is {index.dtype}{list(index.shape)}: expected integers of one axis")
    if not isinstance(index, jax.core.Tracer) and index.size:
        low, high = int(index.min()), int(index.max())
        if low < 0 or high >= queries:
            raise ValueError(f"rows reach from {low} to {high}: expected them inside [0, {queries}) (T)")
    return index.astype(jnp.int32)


def _tokens(name: str, x: Any) -> Array:
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"{name} is {x.dtype}{list(x.shape)}: expected floating point")
    if x.ndim < 3:
        raise ValueError(
            f"{name} has shape {list(x.shape)}: expected at least 3 axes (*B, length, heads, size)"
        )
    return x


def _sizes(query: Array, key: Array, value: Array) -> Sizes:
    shown = (
        f"query {list(query.shape)} (*B, T, N, H), key {list(key.shape)} (*B, S, K, H), "
        f"value {list(value.shape)} (*B, S, K, V)"
    )
    if not query.shape[:-3] == key.shape[:-3] == value.shape[:-3]:
        raise ValueError(f"the batch axes *B differ: {shown}")
    if key.shape[-3:-1] != value.shape[-3:-1]:
        raise ValueError(f"key and value differ in S or K: {shown}")
    if query.shape[-1] != key.shape[-1] or query.shape[-1] == 0:
        raise ValueError(f"query and key need one head size H of at least 1: {shown}")
    heads, groups = query.shape[-2], key.shape[-2]
    if groups == 0 or heads % groups:
        raise ValueError(f"N = {heads} query heads are not divisible by K = {groups} key heads: {shown}")
    return Sizes(query.shape[:-3], heads, query.shape[-3], key.shape[-3])


def _scale(scale: Any, head_size: int, dtype: Any) -> Array:
    if scale is None:
        scale = 1 / math.sqrt(head_size)
    if jnp.ndim(scale) != 0:
        raise ValueError(f"scale has shape {list(jnp.shape(scale))}: expected a scalar")
    return jnp.asarray(scale, dtype)


def _mask(mask: Any, sizes: Sizes) -> Mask | None:
    if mask is None:
        return None
    if isinstance(mask, (jax.Array, np.ndarray)):
        mask = dense(jnp.asarray(mask))
    if not isinstance(mask, Mask):
        raise TypeError(f"mask is {mask!r}: expected a mask of attnjax or a boolean array")
    return mask.bind(sizes)


def _scores(score: Any, bias: Any, sizes: Sizes, dtype: Any) -> tuple[Score, ...]:
    scores = flatten(score)
    if bias is not None:
        bias = jnp.asarray(bias)
        if not jnp.issubdtype(bias.dtype, jnp.floating):
            raise TypeError(
                f"bias is an array of {bias.dtype}: expected floating point (a boolean one is a mask)"
            )
        scores = (*scores, PairBias(bias, "bias"))
    return tuple(s.bind(sizes, dtype) for s in scores)


def _normalizer(normalizer: Any) -> Normalizer:
    if normalizer is None:
        return softmax()
    if not isinstance(normalizer, Normalizer):
        raise TypeError(
            f"normalizer is {normalizer!r}: expected softmax(), sigmoid(), sparsemax() or entmax()"
        )
    return normalizer


def _dropout(rate: Any, key: Any, sizes: Sizes) -> Dropout | None:
    if jnp.ndim(rate) != 0:
        raise ValueError(f"dropout_rate has shape {list(jnp.shape(rate))}: expected a scalar")
    if not isinstance(rate, jax.core.Tracer):
        if not 0 <= float(rate) < 1:
            raise ValueError(f"dropout_rate is {rate}: expected 0 ≤ rate < 1")
        if float(rate) == 0:
            return None
    if key is None:
        raise ValueError("dropout_key is None: a dropout_rate other than 0 needs a key")
    return dropout(key, rate, sizes)
