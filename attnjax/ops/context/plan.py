"""The strategy of a call over a mesh axis, with the reason, before anything runs."""

import dataclasses
import math
from typing import Any, Literal, get_args

import numpy as np

from attnjax.ops.context.hops import computed, hops_of, sends
from attnjax.ops.context.layout import ORDERS, Order, ShardLayout
from attnjax.ops.engines.call import AttentionCall

Strategy = Literal["ring", "all_gather"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
JOINED = ("online", "pairwise")
"""The routes of normalisers whose results over parts of the keys can be joined."""


@dataclasses.dataclass(frozen=True)
class ContextPlan:
    """The strategy of a call over a mesh axis, the reason for it, and the hops.

    Attributes:
      strategy: "ring" or "all_gather".
      reason: why it was taken.
      order: of the tokens on the devices.
      hops: those that are taken; in hop r device d meets the keys of device d - r. All for "all_gather".
      sends: how often keys and values are sent to the next holder.
      products: of a device's queries with a device's keys, over all hops and devices; None where the mask is
        known only when the program runs.

    Example:
      >>> import attnjax as aj
      >>> import jax.numpy as jnp
      >>> x = jnp.ones((16, 1, 4))
      >>> plan = aj.plan_context_attention(x, x, x, shards=8, mask=aj.sliding_window(3, 0))
      >>> plan.strategy, plan.hops, plan.sends, plan.products
      ('ring', (0, 1, 2), 2, 21)
    """

    strategy: Strategy
    reason: str
    order: Order
    hops: tuple[int, ...]
    sends: int
    products: int | None

    def __str__(self) -> str:
        done = "as many as the traced mask leaves" if self.products is None else str(self.products)
        return (
            f"strategy {self.strategy}: {self.reason}\n"
            f"order    {self.order}\n"
            f"hops     {len(self.hops)}, {self.sends} sends\n"
            f"products {done}"
        )


def plan_of(call: AttentionCall, layout: ShardLayout, strategy: Any) -> tuple[ContextPlan, Any]:
    """Returns the plan of a call bound to whole sequences, and which devices' tokens meet.

    Raises:
      ValueError: the strategy is unknown or cannot compute the call.
    """
    sizes, mask = call.rules.sizes, call.rules.mask
    hops, table = hops_of(mask, sizes, layout), computed(mask, sizes, layout)
    chosen, reason = _choose(call, layout, strategy, hops)
    products = int(table.sum()) if isinstance(table, np.ndarray) else None
    if chosen == "all_gather":
        every = tuple(range(layout.shards))
        return ContextPlan(chosen, reason, layout.order, every, sends(every), products), table
    return ContextPlan(chosen, reason, layout.order, hops, sends(hops), products), table


def check_order(order: Any) -> Order:
    """Returns the order; ValueError for an unknown one."""
    if order not in ORDERS:
        raise ValueError(f"order is {order!r}: expected one of {', '.join(map(repr, ORDERS))}")
    known: Order = order
    return known


def _choose(
    call: AttentionCall, layout: ShardLayout, strategy: Any, hops: tuple[int, ...]
) -> tuple[Strategy, str]:
    if strategy is not None and strategy not in STRATEGIES:
        names = ", ".join(map(repr, STRATEGIES))
        raise ValueError(f"strategy is {strategy!r}: expected None or one of {names}")
    refusal = _ring_refusal(call)
    if strategy == "ring" and refusal:
        raise ValueError(f"strategy 'ring' can't do this: {refusal}")
    if strategy is not None:
        return strategy, "asked for"
    if refusal:
        return "all_gather", f"ring can't: {refusal}"
    if len(hops) < layout.shards:
        return "ring", f"the mask leaves {len(hops)} of {layout.shards} hops"
    sizes = call.rules.sizes
    own = sizes.flat_batch * sizes.queries * sizes.heads // layout.shards
    own *= call.query.shape[-1] + call.value.shape[-1]
    key_heads, width = call.key.shape[-2], call.key.shape[-1] + call.value.shape[-1]
    gathered = math.prod((sizes.flat_batch, sizes.keys, key_heads, width))
    if gathered <= own:
        return "all_gather", f"all keys and values, {gathered} numbers, are no more than a shard's own {own}"
    return "ring", f"all keys and values, {gathered} numbers, are more than a shard's own {own}"


def _ring_refusal(call: AttentionCall) -> str | None:
    """Returns the reason why hops cannot be joined; None when they can."""
    normalizer = call.rules.normalizer
    if normalizer.route not in JOINED:
        return f"{type(normalizer).__name__.lower()} needs whole rows"
    if 0 in (*call.query.shape, *call.key.shape):
        return "there are no pairs"
    return None
