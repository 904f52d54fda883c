"""From arguments to an `AttentionCall`: every check of the contract, before anything is computed."""

import math
from collections.abc import Sequence
from typing import Any, Literal, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from attnjax.ops.comparisons import Compared, Comparison, compare
from attnjax.ops.core.checks import array, floats, scalar
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.core.pairs import Sizes, surely
from attnjax.ops.core.weight_dropout import WeightDropout, dropout
from attnjax.ops.engines.call import AttentionCall, Semantics
from attnjax.ops.masks import Mask, dense
from attnjax.ops.normalizers import Normalizer, softmax
from attnjax.ops.scores import PairBias, Score, flatten

NO_VALUE = object()


class WeightOptions(TypedDict, total=False):
    """The keyword arguments that decide on the weights, as `attention` documents them."""

    mask: Mask | Bool[Array, "..."] | None
    bias: Float[Array, "..."] | None
    comparison: Comparison | None
    score: Score | Sequence[Score] | None
    normalizer: Normalizer | None
    scale: float | Float[Array, ""] | None
    precision: Any


class AttentionOptions(WeightOptions, total=False):
    """The keyword arguments that decide on the output of `attention`."""

    dropout_rate: float | Float[Array, ""]
    dropout_key: PRNGKeyArray | None


def make_call(
    query: Any,
    key: Any,
    value: Any = NO_VALUE,
    *,
    mask: Any = None,
    bias: Any = None,
    comparison: Any = None,
    score: Any = None,
    normalizer: Any = None,
    scale: Any = None,
    dropout_rate: Any = 0.0,
    dropout_key: Any = None,
    precision: Any = None,
    shards: tuple[int, int] | None = None,
) -> AttentionCall:
    """Returns the call in normal form; without a value the weights alone can be asked for.

    With `shards`, query and key (with value) are one of so many parts of the sequences that the rest speaks
    of, or hold their tokens in another order.

    Raises:
      TypeError: an argument is of another type; it is named.
      ValueError: an argument's shape or value does not fit; it is named.
    """
    query, key = _tokens("query", query), _tokens("key", key)
    no_value = value is NO_VALUE
    value = jnp.zeros((*key.shape[:-1], 0), key.dtype) if no_value else _tokens("value", value)
    shown = "" if no_value else f", value {list(value.shape)} (*B, S, K, V)"
    sizes = _sizes(query, key, value, shown, one_size=comparison is None)
    if shards is not None:
        sizes = sizes._replace(queries=sizes.queries * shards[0], keys=sizes.keys * shards[1])
    dtype = accumulation_dtype(query, key, value)
    precision, compared = _precision(precision), Compared(query, key, _scale(scale, query.shape[-1], dtype))
    if comparison is not None:
        given = None if scale is None else compared.scale
        compared = compare(comparison, query, key, given, dtype, precision)
        if compared.score is not None and shards is not None:
            raise ValueError(
                f"comparison is {comparison!r}, with numbers of its own for each token: expected whole "
                "sequences in their own order, outside of shard_map"
            )
    rules = Semantics(
        mask=_mask(mask, sizes),
        scores=_scores([compared.score, score], bias, sizes, dtype),
        normalizer=_normalizer(normalizer).bind(sizes, dtype),
        dropout=_dropout(dropout_rate, dropout_key, sizes),
        sizes=sizes,
        precision=precision,
        pairs=compared.pairs,
    )
    query, key, value = (
        x.reshape(sizes.flat_batch, *x.shape[-3:]) for x in (compared.query, compared.key, value)
    )
    return AttentionCall(query, key, value, compared.scale, rules)


def extras(call: AttentionCall, return_lse: bool, normalize: bool) -> Literal["lse", "sums"] | None:
    """Returns what is asked for beside the output; ValueError where the normaliser has no such."""
    if not (return_lse or not normalize):
        return None
    asked = "return_lse is True" if return_lse else "normalize is False"
    if call.rules.normalizer.route != "online":
        name = type(call.rules.normalizer).__name__.lower()
        has = "a log-sum-exp" if return_lse else "a maximum and a sum"
        raise ValueError(f"{asked} with {name}: only softmax has {has}")
    if return_lse and not normalize:
        raise ValueError("return_lse is True with normalize=False: there it is max + log(sum)")
    return "lse" if return_lse else "sums"


def row_indices(rows: Any, queries: int) -> Array:
    """Returns query rows as an index array [R]; ValueError unless they are integers of one axis in [0, T)."""
    index = array("rows", rows)
    if index.ndim != 1 or not (index.size == 0 or jnp.issubdtype(index.dtype, jnp.integer)):
        raise ValueError(f"rows is {index.dtype}{list(index.shape)}: expected integers of one axis")
    if not isinstance(index, jax.core.Tracer) and index.size:
        low, high = int(index.min()), int(index.max())
        if low < 0 or surely(lambda: high >= queries):
            raise ValueError(f"rows reach from {low} to {high}: expected them inside [0, {queries}) (T)")
    return index.astype(jnp.int32)


def _tokens(name: str, x: Any) -> Array:
    x = floats(name, x)
    if x.ndim < 3:
        raise ValueError(
            f"{name} has shape {list(x.shape)}: expected at least 3 axes (*B, length, heads, size)"
        )
    return x


def _sizes(query: Array, key: Array, value: Array, value_shown: str, *, one_size: bool) -> Sizes:
    shown = f"query {list(query.shape)} (*B, T, N, H), key {list(key.shape)} (*B, S, K, H){value_shown}"
    if not query.shape[:-3] == key.shape[:-3] == value.shape[:-3]:
        raise ValueError(f"the batch axes *B differ: {shown}")
    if key.shape[-3:-1] != value.shape[-3:-1]:
        raise ValueError(f"key and value differ in S or K: {shown}")
    if (one_size and query.shape[-1] != key.shape[-1]) or 0 in (query.shape[-1], key.shape[-1]):
        raise ValueError(f"query and key need one head size H of at least 1: {shown}")
    heads, groups = query.shape[-2], key.shape[-2]
    if groups == 0 or heads % groups:
        raise ValueError(f"N = {heads} query heads are not divisible by K = {groups} key heads: {shown}")
    return Sizes(query.shape[:-3], heads, query.shape[-3], key.shape[-3])


def _scale(scale: Any, head_size: int, dtype: Any) -> Array:
    if scale is None:
        scale = 1 / math.sqrt(head_size)
    return jnp.asarray(scalar("scale", scale), dtype)


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
        bias = array("bias", bias)
        if bias.dtype == jnp.bool_:
            raise TypeError("bias is an array of bool: expected floating point (a boolean one is a mask)")
        scores = (*scores, PairBias(floats("bias", bias), "bias"))
    return tuple(s.bind(sizes, dtype) for s in scores)


def _normalizer(normalizer: Any) -> Normalizer:
    if normalizer is None:
        return softmax()
    if not isinstance(normalizer, Normalizer):
        raise TypeError(
            f"normalizer is {normalizer!r}: expected softmax(), sigmoid(), sparsemax() or entmax()"
        )
    return normalizer


def _dropout(rate: Any, key: Any, sizes: Sizes) -> WeightDropout | None:
    if not isinstance(scalar("dropout_rate", rate), jax.core.Tracer):
        if not 0 <= float(rate) < 1:
            raise ValueError(f"dropout_rate is {rate}: expected 0 ≤ rate < 1")
        if float(rate) == 0:
            return None
    if key is None:
        raise ValueError("dropout_key is None: a dropout_rate other than 0 needs a key")
    if not _is_key(key):
        raise TypeError(f"dropout_key is {key!r}: expected a key of jax.random.key")
    return dropout(key, rate, sizes)


def _is_key(key: Any) -> bool:
    dtype, shape = getattr(key, "dtype", None), getattr(key, "shape", None)
    if dtype is None:
        return False
    # jax.random.PRNGKey still gives raw words.
    return (jnp.issubdtype(dtype, jax.dtypes.prng_key) and shape == ()) or (
        dtype == jnp.uint32 and shape == jax.eval_shape(lambda: jax.random.PRNGKey(0)).shape
    )


def _precision(precision: Any) -> Any:
    """The precision itself, where jax takes it."""
    vector = jax.ShapeDtypeStruct((1,), jnp.float32)
    try:
        jax.eval_shape(lambda x: jax.lax.dot(x, x, precision=precision), vector)
    except (TypeError, ValueError):
        raise ValueError(f"precision is {precision!r}: expected one that jax.lax.dot takes") from None
    return precision
