"""The dense engine: the definition of the semantics, in the order of the formula."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.pairs import block, take_rows
from attnjax.ops.engines.call import (
    AttentionCall,
    Result,
    clean,
    dropped,
    nonfinite_of,
    pair_scores,
)
from attnjax.ops.normalizers import Sums


def run(call: AttentionCall) -> Result:
    """Computes scale·(q·k) → scores → + bias → mask → normaliser → dropout → · value."""
    rules = call.rules
    weights, sums = _weigh(call, None)
    value = clean(call.value.astype(call.dtype), rules.mask is not None)
    weights = _by_key_head(dropped(weights, rules), 1, value)
    out = jnp.einsum("bkgts,bskv->btkgv", weights, value, precision=rules.precision)
    return Result(out.reshape(*call.query.shape[:3], value.shape[-1]), sums)


def weights(call: AttentionCall, rows: Array | None) -> Float[Array, "B N rows S"]:
    """Returns the weights before dropout of all query rows, or of `rows` [R] alone."""
    return _weigh(call, rows)[0]


def scores(call: AttentionCall) -> Float[Array, "B N T S"]:
    """Returns the scores of all pairs, -inf where masked."""
    return _scores(call, None)[0]


def _weigh(call: AttentionCall, rows: Array | None) -> tuple[Array, Sums | None]:
    """Weights [B, N, rows, S], and the sums of their rows."""
    return call.rules.normalizer.weights(*_scores(call, rows))


def _scores(call: AttentionCall, rows: Array | None) -> tuple[Array, Array | None]:
    """Scores [B, N, rows, S], and which pairs attend (None: all)."""
    rules, nonfinite, query = call.rules, nonfinite_of(call), call.query
    index = jnp.arange(rules.sizes.queries) if rows is None else rows
    if rows is not None:
        query, rules = jnp.take(query, rows, axis=1), take_rows(rules, rows)
        nonfinite = (
            None if nonfinite is None else nonfinite._replace(query=jnp.take(nonfinite.query, rows, axis=1))
        )
    query, key = (clean(x.astype(call.dtype), rules.mask is not None) for x in (query, call.key))
    queries = _by_key_head(query * call.scale, 2, key)
    if rules.pairs is None:
        products = jnp.einsum("btkgh,bskh->bkgts", queries, key, precision=rules.precision)
    else:
        products = rules.pairs.plain(
            jnp.einsum("btkgh->bkgth", queries), jnp.einsum("bskh->bksh", key)[:, :, None]
        )
    products = products.reshape(products.shape[0], rules.sizes.heads, index.shape[0], rules.sizes.keys)
    at = block(rules.sizes, index, jnp.arange(rules.sizes.keys))
    attended = None
    if nonfinite is not None and rules.mask is not None:
        shared = rules.sizes.heads // key.shape[2]
        products += jnp.swapaxes(nonfinite.query, 1, 2)[..., None]
        products += jnp.repeat(jnp.swapaxes(nonfinite.key, 1, 2), shared, axis=1)[:, :, None]
        attended = rules.mask.evaluate(at)
    return pair_scores(products, rules, at, attended), attended


def _by_key_head(x: Array, axis: int, key: Array) -> Array:
    """Returns x with its axis of N heads as the K heads of `key` [B, S, K, ·], of N / K heads each."""
    heads, key_heads = x.shape[axis], key.shape[2]
    return x.reshape(*x.shape[:axis], key_heads, heads // key_heads, *x.shape[axis + 1 :])
