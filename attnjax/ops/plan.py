"""plan_attention(): the engine of a call, the reasons and the blocks, before anything runs."""

import dataclasses
import math
from typing import Unpack

import jax
import numpy as np
from jaxtyping import Array, Float

from attnjax.ops.arguments import AttentionOptions, extras, make_call
from attnjax.ops.core.options import spelled_out
from attnjax.ops.engines.call import AttentionCall
from attnjax.ops.engines.choose import EngineChoice, choose, platforms
from attnjax.ops.engines.kernel import Kernel
from attnjax.ops.engines.schedule import covered, grouped
from attnjax.ops.masks.tiles import EMPTY, FULL


@dataclasses.dataclass(frozen=True)
class AttentionPlan:
    """The engine of a call, why it was taken and why the others were not, and the blocks it visits.

    `platforms`: the engine on a platform that has kernels of its own, and why others of them were not taken.
    Block fields are None for an engine without blocks; `visited` and `full` also where they depend on traced
    values. With `span` above 1, so many blocks side by side are all that a row visits, computed as one. Batch
    elements and heads are told apart only where the mask tells them apart, and only as far as they do not
    share a block.

    Example:
      >>> import attnjax as aj
      >>> import jax.numpy as jnp
      >>> x = jnp.ones((8, 1, 4))
      >>> aj.plan_attention(x, x, x).engine
      'reference'
    """

    engine: str
    reason: str
    others: dict[str, str]
    block_q: int | None = None
    block_k: int | None = None
    span: int = 1
    total: int | None = None
    visited: int | None = None
    full: int | None = None
    platforms: dict[str, tuple[str, dict[str, str]]] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"engine   {self.engine}: {self.reason}"]
        lines += [f"not      {name}: {reason}" for name, reason in self.others.items()]
        for platform, (engine, others) in self.platforms.items():
            reasons = [f"not {name}: {reason}" for name, reason in others.items()]
            first = ", ".join([engine, *reasons[:1]])
            lines += [f"{f'on {platform}':<8} {first}", *(f"{'':<8} {reason}" for reason in reasons[1:])]
        if self.total is not None:
            joined = f", the {self.span} of a row as one" if self.span > 1 else ""
            lines.append(f"blocks   {self.block_q} queries × {self.block_k} keys{joined}")
            known = f"{self.visited} of {self.total}, {self.full} of them without a mask"
            unknown = f"of {self.total}, as many as the traced mask leaves"
            lines.append(f"visited  {unknown if self.visited is None else known}")
        return "\n".join(lines)


@spelled_out(AttentionOptions, make_call)
def plan_attention(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B S K H"],
    value: Float[Array, "*B S K V"],
    *,
    implementation: str | None = None,
    return_lse: bool = False,
    normalize: bool = True,
    **options: Unpack[AttentionOptions],
) -> AttentionPlan:
    """Returns what `attention` will do with the same arguments: print it, or read its fields.

    Args:
      query: [*B, T, N, H]; arrays, or what stands for them while tracing.
      key: [*B, S, K, H].
      value: [*B, S, K, V].
      implementation: as in `attention`.
      return_lse: as in `attention`.
      normalize: as in `attention`.
      **options: as in `attention`.

    Returns:
      The plan.

    Raises:
      TypeError: as `attention`.
      ValueError: as `attention`.

    Example:
      >>> import attnjax as aj
      >>> import jax.numpy as jnp
      >>> x = jnp.ones((2048, 1, 8))
      >>> print(aj.plan_attention(x, x, x, mask=aj.sliding_window(256, 0)))  # doctest: +ELLIPSIS
      engine   blockwise: preferred for B·N·T·S from 1048576, here 4194304
      not      chosen: the mask joins no chosen_blocks() by &
      not      reference: preferred for B·N·T·S up to 1048575, here 4194304
      on tpu   splash
      on cuda  blockwise, not cudnn: the inputs are float32, it takes bfloat16 or float16
               not pallas_gpu: the inputs are float32, it takes bfloat16 or float16
      blocks   ... queries × ... keys...
      visited  ... of ..., 0 of them without a mask
    """
    call = make_call(query, key, value, **options)
    further = extras(call, return_lse, normalize) is not None
    choice = choose(call, implementation, further)
    found = platforms(call, choice, further) if implementation is None else {}
    return _plan_of(call, choice, found)


def _plan_of(
    call: AttentionCall, choice: EngineChoice, found: dict[str, tuple[Kernel | None, dict[str, str]]]
) -> AttentionPlan:
    """Returns the plan of a call for which this engine, and these kernels on their platforms, were chosen."""
    name = choice.engine.name
    own = {p: (kernel.name if kernel else name, others) for p, (kernel, others) in found.items()}
    plan = AttentionPlan(name, choice.reason, choice.others, platforms=own)
    blocks = choice.engine.blocks
    if blocks is None:
        return plan
    blocking, kinds = blocks(call)
    tiles, kinds = blocking.tiles, grouped(kinds, blocking)
    total, span = math.prod(kinds.shape), blocking.span
    plan = dataclasses.replace(plan, block_q=tiles.block_q, block_k=tiles.block_k, span=span, total=total)
    if isinstance(kinds, jax.core.Tracer):
        return plan
    kinds = covered(kinds, blocking)
    visited, full = np.sum(np.asarray(kinds) != EMPTY), np.sum(np.asarray(kinds) == FULL)
    return dataclasses.replace(plan, visited=int(visited), full=int(full))
