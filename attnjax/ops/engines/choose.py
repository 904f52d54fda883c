"""The choice of the engine that computes a call, by platform, with the reasons against the others.

The engines run on every platform; a kernel of another library takes their place on those that it runs on,
when a program is lowered for one of them.
"""

import dataclasses
import math
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import jax

from attnjax.ops.core.node import traced
from attnjax.ops.core.pairs import fixed, surely
from attnjax.ops.engines import blockwise, chosen, cudnn, pallas_gpu, reference, splash
from attnjax.ops.engines.blocking import Blocking
from attnjax.ops.engines.call import AttentionCall, Result
from attnjax.ops.engines.kernel import Kernel, pattern_of, refusal
from attnjax.ops.engines.schedule import likely
from attnjax.ops.engines.tuning import blocking_of
from attnjax.ops.engines.with_kernels import WithKernels

UNBOUNDED = 2**62


@dataclasses.dataclass(frozen=True)
class Engine:
    """An engine and what it can do, as data.

    `routes`: the kinds of normaliser (see `Normalizer.route`). `scores`: the B·N·T·S it is preferred for.
    `any_length`: whether T and S may be symbols of `jax.export`. `blocks`: the blocks of a call and their
    kinds, for an engine that has blocks. `lacks`: what the engine asks of a call, and this one lacks.
    """

    name: str
    run: Callable[[AttentionCall], Result]
    routes: frozenset[str]
    scores: range
    any_length: bool = False
    blocks: Callable[[AttentionCall], tuple[Blocking, Any]] | None = None
    lacks: Callable[[AttentionCall], str | None] = lambda call: None

    def refusal(self, call: AttentionCall) -> str | None:
        """Returns the reason why this engine cannot compute the call; None when it can."""
        normalizer = call.rules.normalizer
        if normalizer.route not in self.routes:
            name = type(normalizer).__name__.lower()
            return f"{name} needs {normalizer.route} rows, it handles {' and '.join(sorted(self.routes))}"
        if reason := self.lacks(call):
            return reason
        lengths = call.rules.sizes[2:]
        if not (self.any_length or fixed(*lengths)):
            return "T = {} and S = {} are not both numbers, its blocks need such".format(*lengths)
        return None

    def prefers(self, scores: Any) -> bool:
        """Returns whether so many scores are certainly in its range: a symbol may stand for many or few."""
        within = self.scores.stop == UNBOUNDED or surely(lambda: scores < self.scores.stop)
        return within and surely(lambda: scores >= self.scores.start)


# Up to so many scores (B·N·T·S) their array stays in the caches of a CPU, and one product for all is fastest.
DENSE_SCORES = 2**20 - 1
# A few queries, as in decoding, have few scores for each key: blocks would save nothing.
FEW_QUERIES = 16
ENGINES = MappingProxyType(
    {
        e.name: e
        for e in (
            Engine("chosen", chosen.run, frozenset({"online"}), range(UNBOUNDED), lacks=chosen.refusal),
            Engine(
                "reference",
                reference.run,
                frozenset({"online", "pairwise", "whole"}),
                range(DENSE_SCORES + 1),
                any_length=True,
            ),
            Engine(
                "blockwise",
                blockwise.run,
                frozenset({"online", "pairwise"}),
                range(DENSE_SCORES + 1, UNBOUNDED),
                blocks=blockwise.blocks,
            ),
        )
    }
)
KERNELS = MappingProxyType({k.name: k for k in (splash.KERNEL, cudnn.KERNEL, pallas_gpu.KERNEL)})


@dataclasses.dataclass(frozen=True)
class EngineChoice:
    """The engine of a call, why it was taken, and for each other engine why not."""

    engine: Engine
    reason: str
    others: dict[str, str]


def choose(call: AttentionCall, implementation: str | None, return_lse: bool = False) -> EngineChoice:
    """The engine asked for, or the first that can compute the call and prefers its size.

    Raises ValueError for an unknown name, and for an explicit engine that cannot compute the call.
    """
    if implementation is not None and implementation in KERNELS:
        return _asked(KERNELS[implementation], call, return_lse)
    choice = _cut(_portable(call, implementation), call)
    if implementation is not None or choice.engine.name != "blockwise" or _runs_on_cpu(call):
        return choice
    found = dict.fromkeys(k for k, _ in platforms(call, choice, return_lse).values() if k is not None)
    pattern = pattern_of(call) if found else None
    if pattern is None:
        return choice
    run = WithKernels(tuple(found), pattern, str(call.query.dtype), blocking=_blocking(choice))
    return dataclasses.replace(choice, engine=dataclasses.replace(choice.engine, run=run))


def platforms(
    call: AttentionCall, choice: EngineChoice, return_lse: bool
) -> dict[str, tuple[Kernel | None, dict[str, str]]]:
    """For each platform that has kernels, the one that will run there, and why the others will not."""
    pattern, scores = pattern_of(call), _scores(call)
    found: dict[str, tuple[Kernel | None, dict[str, str]]] = {}
    for kernel in KERNELS.values():
        reason = refusal(kernel, call, pattern, return_lse) or kernel.unasked()
        if reason is None and choice.engine.name != "blockwise":
            reason = _size_reason(ENGINES["blockwise"], scores)
        for platform in kernel.platforms:
            taken, others = found.get(platform, (None, {}))
            if reason is None and taken is None:
                found[platform] = kernel, others
            else:
                others = others | {kernel.name: reason or f"{taken and taken.name} comes first"}
                found[platform] = taken, others
    return found


def _asked(kernel: Kernel, call: AttentionCall, return_lse: bool) -> EngineChoice:
    pattern = pattern_of(call)
    reason = refusal(kernel, call, pattern, return_lse)
    if reason or pattern is None:
        raise ValueError(f"implementation {kernel.name!r} can't do this: {reason}")
    run = WithKernels((kernel,), pattern, str(call.query.dtype), asked=kernel.name)
    engine = Engine(kernel.name, run, frozenset({"online"}), range(UNBOUNDED))
    others = {n: e.refusal(call) or "not asked for" for n, e in ENGINES.items()}
    for name, other in KERNELS.items():
        if other is not kernel:
            others[name] = refusal(other, call, pattern, return_lse) or "not asked for"
    return EngineChoice(engine, "asked for", others)


def _runs_on_cpu(call: AttentionCall) -> bool:
    """Returns whether the call is certain to run on a CPU: untraced, with its arrays on one."""
    if traced(call):
        return False
    return all(d.platform == "cpu" for x in (call.query, call.key) for d in x.devices())


def _cut(choice: EngineChoice, call: AttentionCall) -> EngineChoice:
    """The choice, with its blocks where arrays of the mask decide on them, which are known only out here."""
    known = likely(call.rules.mask)
    if choice.engine.run is not blockwise.run or not jax.tree.leaves(known):
        return choice
    run = blockwise.Cut(blocking_of(call))
    return dataclasses.replace(choice, engine=dataclasses.replace(choice.engine, run=run))


def _blocking(choice: EngineChoice) -> Blocking | None:
    return choice.engine.run.blocking if isinstance(choice.engine.run, blockwise.Cut) else None


def _portable(call: AttentionCall, implementation: str | None) -> EngineChoice:
    refusals = {name: engine.refusal(call) for name, engine in ENGINES.items()}
    if implementation is not None:
        if implementation not in ENGINES:
            names = [*ENGINES, *KERNELS]
            raise ValueError(f"implementation is {implementation!r}: expected None or one of {names}")
        if refusals[implementation]:
            raise ValueError(f"implementation {implementation!r} can't do this: {refusals[implementation]}")
        others = {n: refusals[n] or "not asked for" for n in ENGINES if n != implementation}
        return EngineChoice(ENGINES[implementation], "asked for", others)
    scores = _scores(call)
    able = [e for n, e in ENGINES.items() if refusals[n] is None]
    engine = next((e for e in able if e.prefers(scores)), able[0])
    reason = _size_reason(engine, scores) if engine.prefers(scores) else "the only one that can"
    if len(able) > 1 and not engine.prefers(scores):
        reason = f"it takes B·N·T·S of any size, here {scores}"
    others = {n: refusals[n] or _size_reason(e, scores) for n, e in ENGINES.items() if e is not engine}
    return EngineChoice(engine, reason, others)


def _scores(call: AttentionCall) -> Any:
    """Returns the number of scores that a dense engine would hold.

    It is 0 for few queries, which have but few scores for each key. A function of pairs of vectors counts
    each entry of them, which the reference holds for every pair.
    """
    sizes, entries = call.rules.sizes, 1 if call.rules.pairs is None else call.key.shape[-1]
    return 0 if surely(lambda: sizes.queries < FEW_QUERIES) else math.prod(sizes.pairs) * entries


def _size_reason(engine: Engine, scores: Any) -> str:
    first, last = engine.scores.start, engine.scores.stop - 1
    if scores == 0:
        return f"preferred {'below' if first == 0 else 'from'} {FEW_QUERIES} queries"
    return f"preferred for B·N·T·S {f'up to {last}' if first == 0 else f'from {first}'}, here {scores}"
