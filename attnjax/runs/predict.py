"""Answers of trained runs to new inputs."""

import dataclasses
import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from attnjax.config import InputError
from attnjax.runs.arriving import pieces
from attnjax.runs.devices import start_jax
from attnjax.runs.placement import ALONE, Placement
from attnjax.runs.store import Run
from attnjax.runs.weights import read_weights

if TYPE_CHECKING:
    from attnjax.tasks.base import Prediction, Predicts

_LOG = logging.getLogger(__name__)


def predictions(
    run: Run,
    texts: Iterable[str],
    *,
    source: str | None = None,
    arriving: bool = False,
    weights: str | None = None,
    search: Mapping[str, Any] = MappingProxyType({}),
    ensemble: Sequence[Run] = (),
    on: Placement = ALONE,
    constraints: Iterable[Sequence[str]] | None = None,
    constraints_source: str = "constraints",
) -> "Iterator[tuple[str, Prediction | None]]":
    """Yields each text with the answer to it, in order; None for an empty text.

    Of a text that is too long the beginning is answered, where the task can tell one, with a warning.

    Args:
      run: a run, or a sweep's trial that kept its parameters.
      texts: one input each.
      source: the name of the file that the texts are lines of, for errors.
      arriving: True if each text may take a while to come; none waits for the next one then.
      weights: the parameters after the "last" step, or those of the "best" validation; "last:5" and
        "best:5" are the mean of those of so many checkpoints; None: those that the run was evaluated with.
      search: other settings of a run that searches for its answers.
      ensemble: other runs, which answer together with this one.
      on: the mesh of the devices that answer.
      constraints: for each text the phrases that its answer has to have; None for none.
      constraints_source: the name of the file that these are lines of, for errors.

    Raises:
      InputError: the run has no answers to give, has no such checkpoint, or is being trained right now; or a
        text stands for no input; or the run does not search, or makes no ensemble with the others; or no
        answer can have its phrases.
    """
    task, params = ready_task(run, weights, search, ensemble, on)
    given = (text.rstrip("\n") for text in texts)
    lines = enumerate(_with_phrases(given, constraints, constraints_source), 1)
    sizes: list[int] = []
    for numbered in pieces(lines, arriving=arriving):
        piece = [(number, text) for number, (text, _) in numbered]
        inputs = [
            constrained_input(
                task,
                _input(task, text, f"{source}:{number}: " if source else ""),
                phrases,
                f"{constraints_source}:{number}: ",
            )
            for number, (text, phrases) in numbered
            if text.strip()
        ]
        if sizes:  # Others are filled up to a shape that is compiled already, or to one of few.
            fits = [size for size in sizes if size >= len(inputs)]
            inputs += inputs[-1:] * (min(fits, default=_power_of_two(len(inputs))) - len(inputs))
        sizes += [len(inputs)] if inputs else []
        with on.reading():
            answers = iter(task.predict(params, inputs) if inputs else ())
        for _, text in piece:
            yield text, next(answers) if text.strip() else None


def _power_of_two(count: int) -> int:
    return 1 << max(count - 1, 0).bit_length()


def _with_phrases(
    texts: Iterable[str], constraints: Iterable[Sequence[str]] | None, name: str
) -> Iterator[tuple[str, Sequence[str]]]:
    """Yields texts with their phrases. Raises InputError where there are not as many of both."""
    if constraints is None:
        yield from ((text, ()) for text in texts)
        return
    for number, (text, phrases) in enumerate(itertools.zip_longest(texts, constraints), 1):
        if text is None or phrases is None:
            more = "inputs" if text is None else "lines of constraints"
            raise InputError(f"{name}: the {more} end at {number - 1}, expected as many of both")
        if phrases and not text.strip():
            raise InputError(f"{name}:{number}: constraints of an empty text")
        yield text, phrases


def constrained_input(task: Any, given: Any, phrases: Sequence[str], place: str) -> Any:
    """Returns an input of a task, to which the answer has to have phrases.

    Raises:
      InputError: there are phrases, and the answers of the task can have none.
    """
    from attnjax.tasks.base import Constrains

    if not phrases:
        return given
    if not isinstance(task, Constrains):
        raise InputError(f"{place}{type(task).__name__} takes no constraints")
    return task.constrained(given, phrases, place)


def ready_task(
    run: Run,
    weights: str | None,
    search: Mapping[str, Any],
    ensemble: Sequence[Run],
    on: Placement = ALONE,
) -> "tuple[Predicts, Any]":
    """Returns a run's task with other settings of its search, and parameters, also those of other runs.

    Raises:
      InputError: as `predictions`.
    """
    task, params = trained_task(run, weights, on)
    if search or ensemble:
        others = [(other.name, *trained_task(other, on=on)) for other in ensemble]
        return searching_task(run, task, params, search, others)
    return task, params


def trained_task(run: Run, weights: str | None = None, on: Placement = ALONE) -> "tuple[Predicts, Any]":
    """Returns a run's task and its parameters, on a mesh; `on.reading()` is the context to ask them in.

    Where nobody says which parameters, they are those that the run was evaluated with.

    Raises:
      InputError: it cannot predict, has no checkpoint, or its rows do not divide over the mesh.
    """
    best, count = read_weights(weights or (run.outcome() or {}).get("weights", "last"))
    _, config = run.load()
    start_jax(on.shape.devices)
    from attnjax.tasks.base import Predicts
    from attnjax.train.loop import load_params

    # A trainer removes checkpoints as it goes: none of those that are read here.
    with run.lock(shared=True):
        task = config.task(run.folder)
        if not isinstance(task, Predicts):
            raise InputError(f"{run.name} cannot predict: {type(task).__name__} has no method predict")
        try:
            where: dict[str, Any] = {"folder": run.folder, "mesh": on.mesh(), "rules": on.rules}
            params = load_params(task, config.train, best=best, count=count, **where)
        except FileNotFoundError as error:
            raise InputError(f"{error}: train the run first") from None
    return task, params


def searching_task(
    run: Run, task: Any, params: Any, search: Mapping[str, Any], others: Sequence[tuple[str, Any, Any]]
) -> tuple[Any, Any]:
    """Returns a task with other settings of its search, and parameters, also those of others.

    Raises:
      InputError: the task does not search, has other settings, or makes no ensemble with the others.
    """
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
        found, note = request_of(task, text)
    except InputError as error:
        raise InputError(f"{place}{error}") from None
    if note:
        _LOG.warning("%s%s", place, note)
    return found


def request_of(task: "Predicts", text: str) -> tuple[Any, str]:
    """Returns the input that a text stands for, and a note where only its beginning does.

    Raises:
      InputError: it stands for none.
    """
    from attnjax.tasks.base import Shortens

    try:
        return task.read_input(text), ""
    except InputError as error:
        beginning = task.beginning(text) if isinstance(task, Shortens) else text
        if beginning == text:
            raise
        return task.read_input(beginning), f"{error}: its first {len(beginning)} characters are answered"


def record_of(
    text: str, answer: "Prediction | None", *, scores: bool, details: bool, alignments: bool
) -> dict[str, Any]:
    """Returns an input and its answer as JSON holds them.

    Raises:
      InputError: links between words are asked for, and there are none.
    """
    record: dict[str, Any] = {"input": text}
    if answer is not None:
        record |= answer.record() | (answer.details() if details else {})
        record |= {"log_prob": answer.log_prob} if scores else {}
        record |= {"alignments": links_of(answer)} if alignments else {}
    return record


def links_of(answer: "Prediction") -> str:
    """Returns the links between words of an answer. Raises InputError where it has none."""
    links = answer.links()
    if links is None:
        raise InputError(f"alignments: {type(answer).__name__} have no links between words")
    return links
