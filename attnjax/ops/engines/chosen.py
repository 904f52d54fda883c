"""Online softmax over key blocks that `chosen_blocks` lists: no other block costs anything.

The units of queries that chose a block are gathered and meet it in one product, so that keys are read in
place; the states of their rows are gathered and scattered, which is small beside the product. In reverse the
gradient of a block of keys is one sum over those units. Work and memory grow with the entries of the lists.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from attnjax.ops.core.node import varying
from attnjax.ops.engines import reference
from attnjax.ops.engines.blockwise import result
from attnjax.ops.engines.blockwise_derivatives import attend_jvp, dot, dot_transposed, inverse
from attnjax.ops.engines.call import AttentionCall, Nonfinite, Result, dropped, nonfinite_of, pair_scores
from attnjax.ops.engines.chosen_by_query import ByQuery, serves
from attnjax.ops.engines.chosen_derivatives import backward, tangent
from attnjax.ops.engines.chosen_lanes import ListLanes, Plan
from attnjax.ops.engines.schedule import repeat
from attnjax.ops.masks import Mask
from attnjax.ops.masks.base import And
from attnjax.ops.masks.chosen import ChosenBlocks
from attnjax.ops.normalizers import Softmax, finite


class ChosenFixed(NamedTuple):
    """Operands without a derivative."""

    data: list[Array]
    nonfinite: Nonfinite
    plan: Plan | Array
    turns: Int[Array, ""]


def refusal(call: AttentionCall) -> str | None:
    """Returns the reason why the engine cannot compute the call; None when it can."""
    if _parted(call.rules.mask)[0] is None:
        return "the mask joins no chosen_blocks() by &"
    return None if call.rules.pairs is None else "it computes products of queries and keys only"


def run(call: AttentionCall) -> Result:
    """Computes the call block by block, of those that are chosen."""
    chosen, mask = _parted(call.rules.mask)
    assert chosen is not None
    if 0 in call.query.shape or 0 in call.key.shape or chosen.index.shape[-1] == 0:  # No pairs, no blocks.
        return reference.run(call)
    normalizer: Any = call.rules.normalizer
    rules = dataclasses.replace(call.rules, mask=mask, normalizer=Softmax(None))
    heads, key_heads = call.query.shape[2], call.key.shape[2]
    index = jnp.broadcast_to(chosen.index, (call.query.shape[0], *chosen.index.shape[1:]))
    if index.shape[1] % key_heads and key_heads % index.shape[1]:
        index = jnp.repeat(index, heads // index.shape[1], axis=1)
    # XLA would take minutes to sort lists that are known when it compiles.
    index = jax.lax.optimization_barrier(index)
    kind = ByQuery if serves(chosen, index.shape[2], call.key.shape[1], index.shape[3]) else ListLanes
    lanes = kind(call, rules, chosen, *index.shape[1::2])
    leaves, nonfinite = jax.tree.leaves(rules), nonfinite_of(call)
    assert nonfinite is not None
    floats = [call.query, call.key, call.value, call.scale, *lanes.params(leaves)]
    fixed = ChosenFixed(lanes.data(leaves), nonfinite, *lanes.plan(index))
    return result(normalizer, *attend(lanes, varying(floats, (floats, fixed)), fixed))


def _parted(mask: Mask | None) -> tuple[ChosenBlocks | None, Mask | None]:
    """Returns one chosen_blocks() that a mask joins by &, and what is left of the mask."""
    if isinstance(mask, ChosenBlocks):
        return mask, None
    if isinstance(mask, And):
        for one, other in ((mask.left, mask.right), (mask.right, mask.left)):
            chosen, rest = _parted(one)
            if chosen is not None:
                return chosen, other if rest is None else rest & other
    return None, mask


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def attend(lanes: ListLanes, floats: list[Array], fixed: ChosenFixed) -> tuple[Array, Array, Array]:
    """Returns out [B, T, N, V], and of each row [B, T, N] the highest score and the sum of exponentials.

    The latter two are finite, 0 for a row without keys.
    """
    query, key, value, scale, *params = floats
    q, k, v = lanes.lay_queries(query), lanes.lay_keys(key), lanes.lay_keys(value)
    spoilt_keys = lanes.lay_keys(fixed.nonfinite.key)

    def body(turn: Array, state: Any) -> Any:
        def one(plan: Any, lane: Array, q: Array, state: Any) -> Any:
            here = lanes.here(plan, lane, turn)
            rules = lanes.here_rules(params, fixed.data, here)
            own = lanes.by_group(lanes.load(lanes.take(q, here)) * scale)
            attended = lanes.pairs(rules, here)
            products = lanes.by_head(dot_transposed(own, lanes.load(lanes.take_keys(k, here)), rules))
            products += lanes.per_head(lanes.take_keys(spoilt_keys, here))
            scores = pair_scores(products, rules, here.at, attended)
            highest, total, acc = (lanes.take(x, here)[None] for x in state)
            new = jnp.maximum(highest, scores.max(axis=-1))
            weights = rules.normalizer.pair_weights(scores, new, None)
            seen = dot(
                lanes.by_group(dropped(weights, rules)[0]), lanes.load(lanes.take_keys(v, here)), rules
            )
            decay = jnp.exp(highest - finite(new))
            acc = acc * decay[..., None] + lanes.by_head(seen)
            found = new, total * decay + weights.sum(axis=-1), acc
            return [lanes.put(x, here, y) for x, y in zip(state, found, strict=True)]

        return jax.vmap(one)(fixed.plan, jnp.arange(lanes.lanes), q, state)

    zero = jnp.zeros_like(q[..., 0], lanes.dtype)
    acc = zero[..., None] + jnp.zeros((1, 1, 1, 1, value.shape[-1]), lanes.dtype)
    start = varying([zero - jnp.inf, zero, acc], (floats, fixed))
    highest, total, acc = repeat(body, start, fixed.turns, lanes.most, False)
    total = jnp.where(total == 0, 0, total + lanes.lay_queries(fixed.nonfinite.query))
    found = acc * inverse(total)[..., None], finite(highest), total
    out, highest, total = (lanes.lie_queries(x) for x in found)
    return out, highest, total


attend.defjvp(functools.partial(attend_jvp, attend, tangent, backward), symbolic_zeros=True)
