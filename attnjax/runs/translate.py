"""Uses a trained translation run."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from attnjax.config import InputError
from attnjax.runs.devices import start_jax
from attnjax.runs.run import Weights
from attnjax.runs.store import Run

# Long inputs go in pieces of this size, so that few batch shapes are compiled and output comes early.
BATCH_SIZE = 64


def translate_lines(
    run: Run, texts: Iterable[str], *, alignment: bool = False, weights: Weights = "last"
) -> Iterator[str]:
    """The translation of each text, in order; with `alignment`, each followed by a picture of it.

    The weights are the "last" ones or those of the "best" validation. An empty text has an empty
    translation, so that output lines stay aligned with input lines.

    Raises InputError when the run cannot translate, has no such checkpoint, or is being trained right now.
    """
    translate = _translator(run, weights)
    lines = (line.rstrip("\n") for line in texts)
    while batch := list(itertools.islice(lines, BATCH_SIZE)):
        translations = iter(translate([text for text in batch if text.strip()]))
        for text in batch:
            if not text.strip():
                yield ""
                continue
            translation = next(translations)
            yield translation.text
            if alignment:
                yield _picture(translation)


def _translator(run: Run, weights: Weights) -> Callable[[Sequence[str]], Any]:
    _, config = run.load()
    start_jax(1)
    from attnjax.train.loop import load_params

    # A trainer removes checkpoints as it goes: none of those that are read here.
    with run.lock(shared=True):
        task = config.task(run.folder)
        if not hasattr(task, "translate"):
            raise InputError(f"{run.name} is not a translation run")
        try:
            params = load_params(task, config.train, folder=run.folder, best=weights == "best")
        except FileNotFoundError as error:
            raise InputError(f"{error}: train the run first") from None
    return lambda texts: task.translate(params, texts) if texts else []


def _picture(translation: Any) -> str:
    from attnjax.tasks.translation.alignment import terminal_map

    return terminal_map(translation)
