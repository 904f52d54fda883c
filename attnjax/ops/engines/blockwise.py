"""Online softmax over the blocks that the mask leaves.

Memory grows with T + S, forward and backward, but for the table of blocks (a number for each). The forward
pass follows FlashAttention (Dao et al., 2022, arXiv:2205.14135). Blocks are taken from the arrays where they
lie and stay in the cache.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from attnjax.ops.core.node import varying
from attnjax.ops.engines import reference
from attnjax.ops.engines.blocking import Blocking, Index, uncut
from attnjax.ops.engines.blockwise_derivatives import (
    attend_jvp,
    backward,
    dot,
    inverse,
    products_of,
    tangent,
)
from attnjax.ops.engines.call import (
    AttentionCall,
    Nonfinite,
    Result,
    dropped,
    nonfinite_of,
    pair_scores,
)
from attnjax.ops.engines.cutting import Cutting
from attnjax.ops.engines.schedule import Schedule, Spans, fold_rows, make_schedule, tile_kinds
from attnjax.ops.engines.tuning import cheapest
from attnjax.ops.normalizers import Softmax, finite


class Fixed(NamedTuple):
    """Operands without a derivative: ids, lengths and random words; what is not finite; the blocks."""

    data: list[Array]
    nonfinite: Nonfinite | None
    schedule: Schedule | Spans


def run(call: AttentionCall, blocking: Blocking | None = None, instead: Any = None) -> Result:
    """Computes the call block by block; `instead` may take the place of `attend`."""
    if 0 in call.query.shape or 0 in call.key.shape:  # No pairs, no blocks.
        return reference.run(call)
    rules, normalizer = call.rules, call.rules.normalizer
    blocking, kinds = blocks(call) if blocking is None else (blocking, tile_kinds(rules.mask, blocking.tiles))
    if isinstance(normalizer, Softmax):  # A sink changes no weight's ratio to another: it can come last.
        rules = dataclasses.replace(rules, normalizer=Softmax(None))
    cutting, leaves = Cutting(rules, blocking, call.dtype), jax.tree.leaves(rules)
    todo = make_schedule(kinds, blocking)
    floats = [call.query, call.key, call.value, call.scale, *cutting.params(leaves)]
    fixed = Fixed(cutting.data(leaves), nonfinite_of(call), todo)
    # All floats alike: the cotangent of one that all devices of a `shard_map` share is summed over them.
    out, highest, total = (instead or attend)(cutting, varying(floats, (floats, fixed)), fixed)
    return (
        Result(out, None) if not isinstance(normalizer, Softmax) else result(normalizer, out, highest, total)
    )


def result(normalizer: Softmax, out: Array, highest: Array, total: Array) -> Result:
    """Returns the result from out [B, T, N, V] and the sums [B, T, N] of rows, with a sink among them."""
    highest, total = jnp.moveaxis(highest, 1, 2), jnp.moveaxis(total, 1, 2)
    share, _, sums = normalizer.shares(highest, total)
    if normalizer.sink is not None:
        out *= jnp.moveaxis(share * total, 1, 2)[..., None]
    return Result(out, sums)


@dataclasses.dataclass(frozen=True)
class Cut:
    """The blockwise engine in these blocks."""

    blocking: Blocking

    def __call__(self, call: AttentionCall) -> Result:
        """Computes a call in blocks."""
        return run(call, self.blocking)


def blocks(call: AttentionCall) -> tuple[Blocking, Any]:
    """Returns how `run` will cut the call, and the kind of every tile of its pairs."""
    return cheapest(call)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def attend(cutting: Cutting, floats: list[Array], fixed: Fixed) -> tuple[Array, Array, Array]:
    """Returns out [B, T, N, V], and of each row [B, T, N] the highest score and the sum of exponentials.

    The latter two are finite, 0 for a row without keys and where the normaliser has none.
    """
    query, key, value, scale, *params = floats
    q, k, v = cutting.cut_queries(query), cutting.cut_keys(key), cutting.cut_keys(value)
    nonfinite = None if fixed.nonfinite is None else cutting.cut_nonfinite(fixed.nonfinite)
    cut_params, cut_data = cutting.cut_params(params), cutting.cut_data(fixed.data)

    def row(carry: Any, here: Index, visit: Any) -> Any:
        own = cutting.by_group(cutting.load(q[here])) * scale

        def step(state: Any, index: Index, masked: bool) -> Any:
            highest, total, acc = state
            rules = cutting.rules([x[index] for x in cut_params], [x[index] for x in cut_data])
            at, attended = cutting.pairs(rules, index, masked)
            products = cutting.by_head(products_of(own, cutting.load(k[index]), rules))
            spoilt: Any = 0 if nonfinite is None else cutting.per_head(nonfinite[1][index])
            scores = pair_scores(products + spoilt if masked else products, rules, at, attended)
            new = jnp.maximum(highest, scores.max(axis=-1)) if cutting.online else highest
            # Masked pairs weigh exp(-inf): only in a row that holds NaN, and is lost, is that not 0.
            weights = rules.normalizer.pair_weights(scores, new, None)
            added = weights.sum(axis=-1)
            added = added if masked or nonfinite is None else added + spoilt.sum(axis=-1)
            seen = dot(cutting.by_group(dropped(weights, rules)), cutting.load(v[index]), rules)
            if cutting.online:
                decay = jnp.exp(highest - finite(new))
                total, acc = total * decay, acc * cutting.by_group(decay)[..., None]
            return new, total + added, acc + seen

        zero = jnp.zeros_like(cutting.by_head(own[..., 0]))
        acc = jnp.zeros_like(own[..., :1]) + jnp.zeros((1, 1, 1, value.shape[-1]), cutting.dtype)
        highest, total, acc = visit(step, varying((zero - jnp.inf, zero, acc), (floats, fixed)))
        if nonfinite is not None:
            total = jnp.where(total == 0, 0, total + nonfinite[0][here])
        if cutting.online:
            acc *= cutting.by_group(inverse(total))[..., None]
        else:
            highest, total, acc = zero, zero, acc + cutting.by_group(0 * total)[..., None]
        found = cutting.by_head(acc), finite(highest), total
        return [x.put(here, block) for x, block in zip(carry, found, strict=True)]

    levels = cutting.cut_queries(jnp.zeros_like(query[..., 0], cutting.dtype))
    out = cutting.cut_queries(
        jnp.zeros_like(query[..., :1], cutting.dtype) + jnp.zeros((1, 1, 1, value.shape[-1]), cutting.dtype)
    )
    done = fold_rows(
        row,
        varying([out, levels, levels], (floats, fixed)),
        fixed.schedule,
        cutting.blocking,
        transposable=False,
        independent=True,
    )
    shape = query.shape[:-1]
    return uncut(done[0], (*shape, value.shape[-1])), uncut(done[1], shape), uncut(done[2], shape)


attend.defjvp(functools.partial(attend_jvp, attend, tangent, backward), symbolic_zeros=True)
