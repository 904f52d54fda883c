"""The steps that are dispatched together, and where the host acts between them."""

import itertools
from typing import NamedTuple

from attnjax.train.config import TrainConfig


class Span(NamedTuple):
    """The steps of one dispatch."""

    start: int
    end: int


def spans_of(start: int, config: TrainConfig) -> list[Span]:
    """The chunks from `start` on: their ends do not depend on where a run was interrupted."""
    ends = range(start + config.log_every, config.steps, config.log_every)
    return [Span(*pair) for pair in itertools.pairwise([start, *ends, config.steps]) if pair[0] < pair[1]]


def next_span(step: int, config: TrainConfig) -> Span:
    """The chunk that begins at a step where one may end."""
    return Span(step, min(step + config.log_every, config.steps))


def checkpoint_due(span: Span, config: TrainConfig) -> bool:
    """Returns True if a checkpoint is saved after this chunk."""
    return crosses(span.start, span.end, config.checkpoint_every) or span.end == config.steps


def crosses(start: int, end: int, every: int) -> bool:
    """Returns True if a multiple of `every` lies in (start, end]."""
    return start // every < end // every
