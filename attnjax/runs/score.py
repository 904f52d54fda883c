"""The answers of others to inputs, scored by a trained run: how likely it holds each."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attnjax.config import InputError
from attnjax.runs.arriving import PIECE
from attnjax.runs.placement import ALONE, Placement
from attnjax.runs.predict import trained_task
from attnjax.runs.store import Run

if TYPE_CHECKING:
    from attnjax.tasks.base import Prediction


def scores(
    run: Run,
    texts: Sequence[str],
    answers: Sequence[str],
    *,
    weights: str | None = None,
    on: Placement = ALONE,
) -> "Iterator[Prediction | str]":
    """Yields each answer with its log probability; why there is none in the place of one that has none.

    Args:
      run: a run, or a sweep's trial that kept its parameters.
      texts: the inputs.
      answers: one for each of them.
      weights: the parameters after the "last" step, of the "best" validation, or a mean ("last:5"); None:
        those that the run was evaluated with.
      on: the mesh of the devices that score.

    Raises:
      InputError: the run scores no answers, or has no such checkpoint.
    """
    task, params = trained_task(run, weights, on)
    from attnjax.tasks.base import Scores

    if not isinstance(task, Scores):
        raise InputError(f"{run.name} scores no answers: {type(task).__name__} has no method score")
    for start in range(0, len(texts), PIECE):
        pairs = list(zip(texts[start : start + PIECE], answers[start : start + PIECE], strict=True))
        reasons = [_reason(task, *pair) for pair in pairs]
        kept = [pair for pair, reason in zip(pairs, reasons, strict=True) if not reason]
        inputs, given = ([pair[side] for pair in kept] for side in (0, 1))
        with on.reading():
            found = iter(task.score(params, inputs, given) if kept else ())
        for reason in reasons:
            yield reason or next(found)


def _reason(task: "object", text: str, answer: str) -> str:
    from attnjax.tasks.base import Scores

    assert isinstance(task, Scores)
    return task.too_long(text, answer) if text.strip() else "the source text is empty"
