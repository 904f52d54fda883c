"""What a call of attention will do: engine, reasons, blocks; printable."""

import dataclasses
import math

import jax
import numpy as np

from attnjax.ops.engines.call import AttentionCall
from attnjax.ops.engines.choose import Choice
from attnjax.ops.engines.kernel import Kernel
from attnjax.ops.engines.schedule import covered, grouped
from attnjax.ops.masks.tiles import EMPTY, FULL


@dataclasses.dataclass(frozen=True)
class Plan:
    """The engine of a call, why it was taken and why the others were not, and the blocks it visits.

    `platforms`: the engine on a platform that has kernels of its own, and why others of them were not taken.
    Block fields are None for an engine without blocks; `visited` and `full` also where they depend on traced
    values. With `span` above 1, so many blocks side by side are all that a row visits, computed as one. Batch
    elements and heads are told apart only where the mask tells them apart, and only as far as they do not
    share a block.
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


def plan_of(
    problem: AttentionCall, choice: Choice, found: dict[str, tuple[Kernel | None, dict[str, str]]]
) -> Plan:
    """The plan of a call for which this engine, and these kernels on their platforms, were chosen."""
    name = choice.engine.name
    own = {p: (kernel.name if kernel else name, others) for p, (kernel, others) in found.items()}
    plan = Plan(name, choice.reason, choice.others, platforms=own)
    blocks = choice.engine.blocks
    if blocks is None:
        return plan
    blocking, kinds = blocks(problem)
    tiles, kinds = blocking.tiles, grouped(kinds, blocking)
    total, span = math.prod(kinds.shape), blocking.span
    plan = dataclasses.replace(plan, block_q=tiles.block_q, block_k=tiles.block_k, span=span, total=total)
    if isinstance(kinds, jax.core.Tracer):
        return plan
    kinds = covered(kinds, blocking)
    visited, full = np.sum(np.asarray(kinds) != EMPTY), np.sum(np.asarray(kinds) == FULL)
    return dataclasses.replace(plan, visited=int(visited), full=int(full))
