"""Attention layers under taps."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attnjax.nn.attention.cache import KeysValues
from attnjax.nn.attention.capture import Capture
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.taps import Request, Sites
from attnjax.ops.attention import attention_scores, attention_weights
from attnjax.ops.core.pairs import Sizes
from attnjax.ops.core.weight_dropout import dropout
from attnjax.ops.scores import pair_bias

PAIRS = ("values", "scores", "weights")
"""The sites of a layer for which its weights are computed, and used where one of them is written."""


def given(attention: Any, asked: Request) -> Request:
    """Returns the request as a layer takes it: one that has no sites of its own gives its weights alone."""
    if not isinstance(asked, Sites) or getattr(attention, "has_sites", False):
        return asked
    if not attention.has_weights:
        return None
    asked.offer("weights", writable=False)
    return Capture(rows=asked.rows) if asked.reads("weights") else None


def noted(own: AttentionOutput, asked: Request) -> AttentionOutput:
    """Returns what an attention layer gives, with its output as the block goes on with it."""
    if not isinstance(asked, Sites):
        return own
    if own.weights is not None:
        asked.note("weights", own.weights)
    return AttentionOutput(asked("out", own.out), own.cache, None)


def sites_of_pairs(
    layer: Any, sites: Sites, query: Array, source: KeysValues, rules: dict[str, Any]
) -> Float[Array, "*B T N V"] | None:
    """Returns what the heads read where values, scores or weights are written, and None elsewhere.

    What is to be read of them is computed beside the engine.
    """
    writable = layer.memory is None
    if not layer.has_weights:
        return None
    sites.offer(*PAIRS, writable=writable)
    written = sites.writes(*PAIRS)
    if not written and not sites.reads(*PAIRS):
        return None
    plain = {name: x for name, x in rules.items() if not name.startswith(("dropout", "implementation"))}
    if not written:
        # The barrier keeps the compiler from sharing work with the engine, which would change how it rounds.
        query, source = jax.lax.optimization_barrier((query, source))
    values = sites("values", layer.values_of(source, query.dtype))
    if not sites.reads("scores", "weights") and not written:
        return None
    weights = sites("weights", layer._weights(sites, query, source, plain))
    if not written:
        return None
    weights = _dropped(weights, rules)
    values = jnp.where(jnp.isfinite(values), values, 0).astype(weights.dtype)
    return layer.mixed(weights, values).astype(query.dtype)


def shared_with_memory(
    asked: Request, weights: Float[Array, "*B N T S"] | None, share: Float[Array, "*B N T"] | None
) -> Float[Array, "*B N T S"] | None:
    """Returns the weights that were read without what a memory has of them: `share` of each row is left."""
    if share is None:
        return weights
    if isinstance(asked, Capture) and weights is not None:
        return weights * asked.of(share)[..., None]
    path = f"{asked.path}weights" if isinstance(asked, Sites) else ""
    if isinstance(asked, Sites) and path in asked.found:
        rows = share if asked.rows is None else share[..., jnp.array(asked.rows)]
        asked.found[path] = asked.found[path] * rows[..., None]
    return weights


def asked_weights(
    asked: Capture | Sites, query: Array, keys: Array, rules: dict[str, Any], *, heads: int
) -> Float[Array, "*B N T S"]:
    """Returns the weights of queries and keys before dropout, of the heads and rows that are asked for."""
    if isinstance(asked, Sites):
        return _weights_of(asked, query, keys, rules)
    asked.require_within("heads", heads)
    asked.require_within("rows", query.shape[-3])
    # The barrier keeps the compiler from sharing work with the engine, which would change how it rounds.
    query, keys = jax.lax.optimization_barrier((query, keys))
    weights = attention_weights(query, keys, rows=asked.rows, **rules)
    return weights if asked.heads is None else weights[..., jnp.array(asked.heads), :, :]


def _weights_of(sites: Sites, query: Array, key: Array, rules: dict[str, Any]) -> Float[Array, "*B N T S"]:
    """Returns the weights of queries and keys, of the scores as they are written."""
    if not sites.reads("scores") and not sites.writes("scores"):
        return attention_weights(query, key, **rules)
    scores = sites("scores", attention_scores(query, key, **rules))
    if not sites.writes("scores"):
        return attention_weights(query, key, **rules)
    # Scores that are known are those of products of 0 and a bias.
    none = jnp.zeros_like(query[..., :1]), jnp.zeros_like(key[..., :1])
    return attention_weights(*none, **rules | {"score": pair_bias(scores), "scale": 1.0, "comparison": None})


def mixed(weights: Float[Array, "*B N T S"], values: Float[Array, "*B S K V"]) -> Float[Array, "*B T N V"]:
    """Returns weights·values, where a head of values serves N/K heads."""
    shared = weights.shape[-3] // values.shape[-2]
    values = jnp.repeat(values, shared, axis=-2) if shared > 1 else values
    return jnp.einsum("...nts,...snv->...tnv", weights, values)


def sites_of_map(
    sites: Sites, read: Callable[[Array], Array], values: Float[Array, "*B T N V"]
) -> Float[Array, "*B T N V"] | None:
    """Returns the reads of the implied weights where these are written; None elsewhere.

    `read` is linear in the values, each channel by itself, as a recurrence is with its gates and keys given.
    """
    sites.offer("weights")
    if not sites.writes("weights"):
        if sites.reads("weights"):
            rows = range(values.shape[-3]) if sites.rows is None else sites.rows
            sites.note("weights", implied_map(read, values, jnp.array(rows)))
        return None
    weights = sites("weights", implied_map(read, values, jnp.arange(values.shape[-3])))
    return mixed(weights.astype(values.dtype), values)


def implied_map(
    read: Callable[[Array], Array], values: Float[Array, "*B T N V"], rows: Int[Array, " R"]
) -> Float[Array, "*B N R T"]:
    """Returns rows of the map from values to reads, each by one pass backwards over the recurrence."""
    out, back = jax.vjp(read, values)

    def row(number: Array) -> Array:
        asked = jnp.zeros_like(out).at[..., number, :, :].set(1)
        return jnp.swapaxes(back(asked)[0].mean(-1), -1, -2)

    return jnp.moveaxis(jax.vmap(row)(rows), 0, -2)


def _dropped(weights: Array, rules: dict[str, Any]) -> Array:
    key = rules["dropout_key"]
    if key is None:
        return weights
    sizes = Sizes(weights.shape[:-3], *weights.shape[-3:])
    flat = weights.reshape(sizes.flat_batch, *weights.shape[-3:])
    return dropout(key, rules["dropout_rate"], sizes)(flat).reshape(weights.shape)
