"""The dense engine: the definition of the semantics, in the order of the formula."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.pairs import block, surely, take_rows
from attnjax.ops.engines.call import (
    AttentionCall,
    Result,
    Semantics,
    clean,
    dropped,
    nonfinite_of,
    pair_scores,
)
from attnjax.ops.normalizers import Sums

KEYS_OF_A_QUERY = 8
"""From so many keys for each query on, as in decoding, reading keys and values is what takes the time."""


def run(call: AttentionCall) -> Result:
    """Computes scale·(q·k) → scores → + bias → mask → normaliser → dropout → · value."""
    rules = call.rules
    decodes = surely(lambda: KEYS_OF_A_QUERY * rules.sizes.queries <= rules.sizes.keys)
    if rules.mask is None or rules.pairs is not None or not decodes:
        return _careful(call)
    return _of_decoding(call)


def weights(call: AttentionCall, rows: Array | None) -> Float[Array, "B N rows S"]:
    """Returns the weights before dropout of all query rows, or of `rows` [R] alone."""
    return _weigh(call, rows)[0]


def scores(call: AttentionCall) -> Float[Array, "B N T S"]:
    """Returns the scores of all pairs, -inf where masked."""
    return _scores(call, None)[0]


@jax.custom_jvp
def _of_decoding(call: AttentionCall) -> Result:
    return jax.lax.platform_dependent(call, cpu=_hopeful, default=_careful)


@_of_decoding.defjvp
def _of_decoding_jvp(primals: tuple[AttentionCall], tangents: Any) -> tuple[Any, Any]:
    # Of the two ways in `_hopeful` one has no part in the result, but its NaN times 0 would have one here.
    return jax.jvp(_careful, primals, tangents)


def _careful(call: AttentionCall) -> Result:
    """Returns the result, whatever is not finite."""
    value = clean(call.value.astype(call.dtype), call.rules.mask is not None)
    return _read(call, *_weigh(call, None), value)


def _hopeful(call: AttentionCall) -> Result:
    """Returns the same result, for less where all is finite.

    What is not finite in a key shows in its products and in a value, also a masked one, in the output, since
    it times 0 is NaN: then all is done again. XLA multiplies by keys and values as a cache holds them; those
    that are `clean` it writes anew at first, in another order. For one query all heads are one product.
    """
    rules = call.rules
    assert rules.mask is not None
    query, key, value = (x.astype(call.dtype) for x in (call.query, call.key, call.value))
    at = block(rules.sizes, jnp.arange(rules.sizes.queries), jnp.arange(rules.sizes.keys))
    one = query.shape[1] == 1
    products = (_products_of_one if one else _products)(query * call.scale, key, rules)
    attended = rules.mask.evaluate(at)
    weights, sums = rules.normalizer.weights(pair_scores(products, rules, at, attended), attended)
    found = (_read_by_one if one else _read)(call, weights, sums, value)
    finite = jnp.isfinite(products).all() & jnp.isfinite(found.out).all()
    return jax.lax.cond(finite, lambda: found, lambda: _careful(call))


def _read(
    call: AttentionCall, weights: Float[Array, "B N T S"], sums: Sums | None, value: Float[Array, "B S K V"]
) -> Result:
    """Returns weights after dropout times values."""
    weights = _by_key_head(dropped(weights, call.rules), 1, value)
    out = jnp.einsum("bkgts,bskv->btkgv", weights, value, precision=call.rules.precision)
    return Result(out.reshape(*call.query.shape[:3], value.shape[-1]), sums)


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
    products = _products(query * call.scale, key, rules)
    at = block(rules.sizes, index, jnp.arange(rules.sizes.keys))
    attended = None
    if nonfinite is not None and rules.mask is not None:
        shared = rules.sizes.heads // key.shape[2]
        products += jnp.swapaxes(nonfinite.query, 1, 2)[..., None]
        products += jnp.repeat(jnp.swapaxes(nonfinite.key, 1, 2), shared, axis=1)[:, :, None]
        attended = rules.mask.evaluate(at)
    return pair_scores(products, rules, at, attended), attended


def _products(
    query: Float[Array, "B T N H"], key: Float[Array, "B S K H"], rules: Semantics
) -> Float[Array, "B N T S"]:
    """Returns q·k of all pairs, or what the rules have in its place."""
    queries = _by_key_head(query, 2, key)
    if rules.pairs is None:
        products = jnp.einsum("btkgh,bskh->bkgts", queries, key, precision=rules.precision)
    else:
        products = rules.pairs.plain(
            jnp.einsum("btkgh->bkgth", queries), jnp.einsum("bskh->bksh", key)[:, :, None]
        )
    return products.reshape(products.shape[0], rules.sizes.heads, query.shape[1], rules.sizes.keys)


def _products_of_one(
    query: Float[Array, "B 1 N H"], key: Float[Array, "B S K H"], rules: Semantics
) -> Float[Array, "B N 1 S"]:
    """Returns q·k of one query in one product of all heads, where queries of other heads are 0.

    It multiplies K times as much, and reads keys in the order in which they lie: 2 to 4 times as fast.
    """
    batch, keys, heads, width = key.shape
    own = jnp.eye(heads, dtype=query.dtype)[None, :, None, :, None]
    queries = _by_key_head(query[:, 0], 1, key)[:, :, :, None] * own
    queries = queries.reshape(batch, query.shape[2], heads * width)
    flat = key.reshape(batch, keys, heads * width)
    return jnp.einsum("bsh,bnh->bsn", flat, queries, precision=rules.precision).swapaxes(1, 2)[:, :, None]


def _read_by_one(
    call: AttentionCall, weights: Float[Array, "B N 1 S"], sums: Sums | None, value: Float[Array, "B S K V"]
) -> Result:
    """Returns weights of one query times the values of all heads, of which those of its own stay."""
    batch, keys, heads, width = value.shape
    weights = dropped(weights, call.rules)[:, :, 0]
    flat = value.reshape(batch, keys, heads * width)
    every = jnp.einsum("bns,bsv->bnv", weights, flat, precision=call.rules.precision)
    own = jnp.einsum("bkgkv->bkgv", every.reshape(batch, heads, every.shape[1] // heads, heads, width))
    return Result(own.reshape(*call.query.shape[:3], width), sums)


def _by_key_head(x: Array, axis: int, key: Array) -> Array:
    """Returns x with its axis of N heads as the K heads of `key` [B, S, K, ·], of N / K heads each."""
    heads, key_heads = x.shape[axis], key.shape[2]
    return x.reshape(*x.shape[:axis], key_heads, heads // key_heads, *x.shape[axis + 1 :])
