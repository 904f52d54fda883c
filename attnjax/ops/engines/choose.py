"""Which engine computes a call, and why not the others."""

import dataclasses
import math
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from attnjax.ops.engines import blockwise, reference
from attnjax.ops.engines.blocks import Blocking
from attnjax.ops.engines.problem import Problem, Result
from attnjax.ops.grid import Sizes


@dataclasses.dataclass(frozen=True)
class Engine:
    """An engine and what it can do, as data.

    `routes`: the kinds of normaliser (see `Normalizer.route`). `scores`: the B·N·T·S it is preferred for.
    `blocks`: the blocks of a call and their kinds, for an engine that has blocks.
    """

    name: str
    run: Callable[[Problem], Result]
    routes: frozenset[str]
    scores: range
    blocks: Callable[[Problem], tuple[Blocking, Any]] | None = None

    def refusal(self, problem: Problem) -> str | None:
        """Why this engine cannot compute the call; None when it can."""
        normalizer = problem.rules.normalizer
        if normalizer.route not in self.routes:
            name = type(normalizer).__name__.lower()
            return f"{name} needs {normalizer.route} rows, it handles {' and '.join(sorted(self.routes))}"
        return None


# Up to so many scores (B·N·T·S) their array stays in the caches of a CPU, and one product for all is fastest.
DENSE_SCORES = 2**20 - 1
# A few queries, as in decoding, have few scores for each key: blocks would save nothing.
FEW_QUERIES = 16
ENGINES = MappingProxyType(
    {
        e.name: e
        for e in (
            Engine(
                "reference",
                reference.run,
                frozenset({"online", "pairwise", "whole"}),
                range(DENSE_SCORES + 1),
            ),
            Engine(
                "blockwise",
                blockwise.run,
                frozenset({"online", "pairwise"}),
                range(DENSE_SCORES + 1, 2**62),
                blockwise.blocks,
            ),
        )
    }
)


@dataclasses.dataclass(frozen=True)
class Choice:
    """The engine of a call, why it was taken, and for each other engine why not."""

    engine: Engine
    reason: str
    others: dict[str, str]


def choose(problem: Problem, implementation: str | None) -> Choice:
    """The engine asked for, or the first that can compute the call and prefers its size.

    Raises ValueError for an unknown name, and for an explicit engine that cannot compute the call.
    """
    refusals = {name: engine.refusal(problem) for name, engine in ENGINES.items()}
    if implementation is not None:
        if implementation not in ENGINES:
            raise ValueError(f"implementation is {implementation!r}: expected None or one of {list(ENGINES)}")
        if refusals[implementation]:
            raise ValueError(f"implementation {implementation!r} can't do this: {refusals[implementation]}")
        others = {n: refusals[n] or "not asked for" for n in ENGINES if n != implementation}
        return Choice(ENGINES[implementation], "asked for", others)
    scores = _scores(problem.rules.sizes)
    able = [e for n, e in ENGINES.items() if refusals[n] is None]
    engine = next((e for e in able if scores in e.scores), able[0])
    reason = _size_reason(engine, scores) if scores in engine.scores else "the only one that can"
    others = {n: refusals[n] or _size_reason(e, scores) for n, e in ENGINES.items() if e is not engine}
    return Choice(engine, reason, others)


def _scores(sizes: Sizes) -> int:
    """How many scores a dense engine would hold; 0 for few queries: no more than there are keys."""
    return 0 if sizes.queries < FEW_QUERIES else math.prod(sizes.pairs)


def _size_reason(engine: Engine, scores: int) -> str:
    first, last = engine.scores.start, engine.scores.stop - 1
    if scores == 0:
        return f"preferred {'below' if first == 0 else 'from'} {FEW_QUERIES} queries"
    return f"preferred for B·N·T·S {f'up to {last}' if first == 0 else f'from {first}'}, here {scores}"
