"""The kernels of other libraries: what they support, as data, and why one refuses a call.

A kernel gets a `Pattern`: what is known of a call before it is traced. Tokamax has no adapter: it needs
typeguard 2.13.3, tyro needs 4, and one environment cannot hold both.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attnjax.ops.core.node import traced
from attnjax.ops.core.pairs import Sizes, block, fixed, is_grid
from attnjax.ops.engines.call import AttentionCall
from attnjax.ops.masks.base import And, Mask
from attnjax.ops.masks.positional import Window
from attnjax.ops.normalizers import Softmax

LEAF_BYTES = 2**16  # A mask by rule holds little; one with more would be hashed at each call.


class Band(NamedTuple):
    """Query i attends key j iff i + low ≤ j ≤ i + high; None = no bound."""

    low: int | None
    high: int | None

    def rows_have_keys(self, queries: int, keys: int) -> bool:
        """Returns whether every one of the queries attends some key."""
        i = np.arange(queries)
        first = np.zeros_like(i) if self.low is None else np.maximum(0, i + self.low)
        last = np.full_like(i, keys - 1) if self.high is None else np.minimum(keys - 1, i + self.high)
        return bool(np.all(first <= last))


@dataclasses.dataclass(frozen=True)
class Frozen:
    """A bound mask without traced values, hashable by its content."""

    structure: Any
    leaves: tuple[tuple[str, tuple[int, ...], bytes], ...]

    def thaw(self) -> Mask:
        """Returns the mask."""
        arrays = [np.frombuffer(data, dtype).reshape(shape) for dtype, shape, data in self.leaves]
        return jax.tree.unflatten(self.structure, arrays)


@dataclasses.dataclass(frozen=True)
class Pattern:
    """The pairs that attend, as known before a call is traced.

    `band` is None where the mask is not a band; `mask` is None where there is no mask.
    """

    sizes: Sizes
    band: Band | None
    mask: Frozen | None


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A kernel and what it can do, as data.

    `attend(pattern, query, key, value)`: [B, T, N, H] [B, S, K, H] [B, S, K, V] -> [B, T, N, V], for finite
    inputs, with its own derivative of first order; it scales by 1/√H unless `prescaled`. `bands` are the
    masks that it takes, None = any static one. `further`: other reasons to refuse a call, `unasked`: reasons
    to take it only where it is asked for.
    """

    name: str
    platforms: tuple[str, ...]
    dtypes: tuple[str, ...]
    attend: Callable[[Pattern, Array, Array, Array], Float[Array, "B T N V"]]
    head_sizes: range = range(1, 2**31)
    one_head_size: bool = False
    one_length: bool = False
    bands: Callable[[Band], bool] | None = None
    bands_named: str = "static masks"
    prescaled: bool = False
    further: Callable[[AttentionCall, Pattern], str | None] = lambda call, pattern: None
    unasked: Callable[[], str | None] = lambda: None


def refusal(kernel: Kernel, call: AttentionCall, pattern: Pattern | None, return_lse: bool) -> str | None:
    """Returns the reason why the kernel cannot compute the call on its platform; None when it can."""
    config: Any = jax.config
    rules, (q, k, v) = call.rules, (call.query, call.key, call.value)
    sizes, heads = kernel.head_sizes, q.shape[-1]
    dtypes = list(dict.fromkeys(str(x.dtype) for x in (q, k, v)))
    precision = rules.precision or config.jax_default_matmul_precision
    varying = getattr(getattr(jax.typeof(q), "manual_axis_type", None), "varying", ())
    lengths, head_sizes = (q.shape[1], k.shape[1]), (heads, v.shape[-1])
    if not fixed(*q.shape, *k.shape, *v.shape):
        return "a size is a symbol of jax.export, it takes numbers"
    for holds, reason in (
        (0 in (*q.shape, *k.shape, *v.shape), "there is nothing to attend"),
        (not isinstance(rules.normalizer, Softmax), "it computes softmax only"),
        (getattr(rules.normalizer, "sink", None) is not None, "it has no sinks"),
        (rules.pairs, "it compares queries with keys by products only"),
        (rules.scores, "it takes no scores and no bias"),
        (rules.dropout, "it has no dropout like ours"),
        (return_lse, "its log-sum-exp has no derivative"),
        (varying, "it is inside a shard_map that checks its axes: check_vma=False lets it in"),
        (precision, f"precision is {precision}, it has its own"),
        (
            len(dtypes) > 1 or dtypes[0] not in kernel.dtypes,
            f"the inputs are {' and '.join(dtypes)}, it takes {' or '.join(kernel.dtypes)}",
        ),
        (
            heads not in sizes,
            f"H is {heads}, it takes multiples of {sizes.step} from {sizes.start} up to {sizes[-1]}",
        ),
        (kernel.one_head_size and head_sizes[0] != head_sizes[1], "H ≠ V: {}, {}".format(*head_sizes)),
        (kernel.one_length and lengths[0] != lengths[1], "T ≠ S: {}, {}".format(*lengths)),
    ):
        if holds:
            return reason
    if pattern is None:
        return "the mask is traced, large or not alike for all of the batch, it takes " + kernel.bands_named
    if kernel.bands and (pattern.band is None or not kernel.bands(pattern.band)):
        return f"the mask is {rules.mask!r}, it takes {kernel.bands_named}"
    return kernel.further(call, pattern)


def pattern_of(call: AttentionCall) -> Pattern | None:
    """Returns the pairs that attend, as known before tracing.

    It is None where the mask holds traced values or large arrays, or may differ within the batch.
    """
    mask, sizes = call.rules.mask, call.rules.sizes
    sizes = Sizes((), sizes.heads, sizes.queries, sizes.keys)
    if mask is None:
        return Pattern(sizes, Band(None, None), None)
    leaves, structure = jax.tree.flatten(mask)
    if traced(mask):
        return None
    if any(jax.dtypes.issubdtype(x.dtype, jax.dtypes.extended) or x.nbytes > LEAF_BYTES for x in leaves):
        return None
    arrays = jax.device_get(leaves)
    frozen = Frozen(structure, tuple((x.dtype.str, x.shape, x.tobytes()) for x in arrays))
    band = _band(frozen.thaw())
    if band is None and _pair(frozen.thaw(), call.rules.sizes).shape[0] > 1:
        return None
    return Pattern(sizes, band, frozen)


def _pair(mask: Mask, sizes: Sizes) -> Any:
    """The shape of the mask's value on one query and key: 1 where it cannot differ along batch or heads."""
    return jax.eval_shape(lambda: mask.evaluate(block(sizes, jnp.zeros(1), jnp.zeros(1))))


def _band(mask: Mask) -> Band | None:
    if isinstance(mask, And):
        one, other = _band(mask.left), _band(mask.right)
        if one is None or other is None:
            return None
        lows, highs = ([x for x in pair if x is not None] for pair in zip(one, other, strict=True))
        return Band(max(lows, default=None), min(highs, default=None))
    if not isinstance(mask, Window):
        return None
    offsets = np.unique(mask.offset.array if is_grid(mask.offset) else mask.offset)
    if len(offsets) != 1:  # The elements of the batch differ.
        return None
    offset = int(offsets[0])
    return Band(None if mask.left is None else offset - mask.left, offset + mask.right)
