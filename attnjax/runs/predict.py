"""Answers of trained runs to new inputs."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from attnjax.config import InputError
from attnjax.runs.devices import start_jax
from attnjax.runs.store import Run
from attnjax.runs.weights import read_weights

if TYPE_CHECKING:
    from attnjax.tasks.base import Prediction, Predicts

PIECE = 64
"""Inputs that are computed together: answers come early, and few shapes compile."""


def predictions(
    run: Run,
    texts: Iterable[str],
    *,
    source: str | None = None,
    weights: str = "last",
    search: Mapping[str, Any] = MappingProxyType({}),
    ensemble: Sequence[Run] = (),
) -> "Iterator[tuple[str, Prediction | None]]":
    """Yields each text with the answer to it, in order; None for an empty text.

    Args:
      run: a run, or a sweep's trial that kept its parameters.
      texts: one input each.
      source: the name of the file that the texts are lines of, for errors.
      weights: the parameters after the "last" step, or those of the "best" validation; "last:5" and
        "best:5" are the mean of those of so many checkpoints.
      search: other settings of a run that searches for its answers.
      ensemble: other runs, which answer together with this one.

    Raises:
      InputError: the run has no answers to give, has no such checkpoint, or is being trained right now; or a
        text stands for no input; or the run does not search, or makes no ensemble with the others.
    """
    task, params = trained_task(run, weights)
    if search or ensemble:
        task, params = _searching(run, task, params, search, [(r.name, *trained_task(r)) for r in ensemble])
    lines = enumerate((text.rstrip("\n") for text in texts), 1)
    several = False
    while piece := list(itertools.islice(lines, PIECE)):
        inputs = [
            _input(task, text, f"{source}:{number}: " if source else "")
            for number, text in piece
            if text.strip()
        ]
        if several:  # The last piece is filled up to the shape that is compiled already.
            inputs += inputs[-1:] * (PIECE - len(inputs))
        answers = iter(task.predict(params, inputs) if inputs else ())
        for _, text in piece:
            yield text, next(answers) if text.strip() else None
        several = True


def trained_task(run: Run, weights: str = "last") -> "tuple[Predicts, Any]":
    """Returns a run's task and parameters. Raises InputError where it cannot predict or has no checkpoint."""
    best, count = read_weights(weights)
    _, config = run.load()
    start_jax(1)
    from attnjax.tasks.base import Predicts
    from attnjax.train.loop import load_params

    # A trainer removes checkpoints as it goes: none of those that are read here.
    with run.lock(shared=True):
        task = config.task(run.folder)
        if not isinstance(task, Predicts):
            raise InputError(f"{run.name} cannot predict: {type(task).__name__} has no method predict")
        try:
            params = load_params(task, config.train, folder=run.folder, best=best, count=count)
        except FileNotFoundError as error:
            raise InputError(f"{error}: train the run first") from None
    return task, params


def _searching(
    run: Run, task: Any, params: Any, search: Mapping[str, Any], others: Sequence[tuple[str, Any, Any]]
) -> tuple[Any, Any]:
    from attnjax.tasks.base import Searches

    if not isinstance(task, Searches):
        given = ", ".join([*search, *(["ensemble"] if others else [])])
        raise InputError(f"{run.name} does not search for answers: it has no use for {given}")
    known = {field.name for field in dataclasses.fields(task.search)}
    if other := ", ".join(sorted(search.keys() - known)):
        raise InputError(f"{run.name} has no use for {other}: its answers take {', '.join(sorted(known))}")
    task.search = dataclasses.replace(task.search, **search)
    return task, task.joined(params, others) if others else params


def _input(task: "Predicts", text: str, place: str) -> Any:
    try:
        return task.read_input(text)
    except InputError as error:
        raise InputError(f"{place}{error}") from None
