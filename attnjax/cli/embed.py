"""`attnjax embed`: texts as vectors, and the texts that lie nearest to a question."""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from attnjax.cli.outputs import require_output
from attnjax.config import InputError, require
from attnjax.runs.start import Notify
from attnjax.runs.weights import AS_EVALUATED

if TYPE_CHECKING:
    from attnjax.models.sentences import SentenceEncoder

SHOWN = 120
"""Characters of a text that is found."""


class Passage(NamedTuple):
    """A text and where it stands."""

    text: str
    place: str


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `attnjax embed`."""
    add = parser.add_argument
    add(
        "model",
        metavar="DIR|RUN",
        help="a folder of a pretrained encoder, or a run's id, its start or folder",
    )
    add("texts", metavar="TEXT", nargs="*", help="what is embedded (default: lines of stdin)")
    add(
        "--passages",
        type=Path,
        nargs="+",
        metavar="FILE",
        default=[],
        help="embed the passages of files: what stands between empty lines",
    )
    add(
        "--out", type=Path, metavar="FILE.npy", help="write the vectors there (default: a JSON line for each)"
    )
    add("--query", metavar="TEXT", help="print the texts nearest to this one in the place of vectors")
    add("--top", type=int, default=5, metavar="N", help="how many of them (default: 5)")
    add("--weights", metavar="last|best[:K]", help=f"of a run (default: {AS_EVALUATED})")


def embed(options: argparse.Namespace, notify: Notify) -> int:
    """Prints the vectors of texts, or the texts nearest to a question."""
    require(options.top >= 1, f"--top is {options.top}: expected 1 or more")
    require(options.query is None or options.out is None, "--query comes with --out: expected one of them")
    if options.out is not None:
        require_output("--out", options.out, ".npy")
    passages = list(_passages(options))
    require(len(passages) > 0, "there are no texts: expected TEXT, --passages FILE or lines of stdin")
    from attnjax.runs.devices import start_jax

    start_jax(1)
    encoder = _encoder(options)
    vectors = encoder([passage.text for passage in passages])
    if options.query is not None:
        from attnjax.models.sentences import nearest

        query = encoder([options.query], query=True)[0]
        for place, cosine in nearest(query, vectors, options.top):
            text = " ".join(passages[place].text.split())
            print(f"{cosine:.3f}  {passages[place].place}  {text[:SHOWN]}")
    elif options.out is not None:
        import numpy as np

        with options.out.open("wb") as file:  # To a path that ends in .NPY it would add .npy.
            np.save(file, vectors)
        notify(f"{len(vectors)} vectors of {vectors.shape[1]} numbers in {options.out}")
    else:
        for passage, vector in zip(passages, vectors, strict=True):
            numbers = [float(str(x)) for x in vector]  # As short as float32 allows.
            print(json.dumps({"text": passage.text, "vector": numbers}, ensure_ascii=False))
    return 0


def _encoder(options: argparse.Namespace) -> "SentenceEncoder":
    from attnjax.experiment import registry
    from attnjax.runs.sources import is_run, source_folder

    registry.discover(options.experiments)
    folder = source_folder(options.model, options.runs)
    if not is_run(folder):
        from attnjax.pretrained.sentences import sentence_encoder

        return sentence_encoder(folder)
    from attnjax.runs.predict import trained_task
    from attnjax.runs.store import Run
    from attnjax.tasks.base import Embeds

    task, params = trained_task(Run(folder), options.weights)
    if not isinstance(task, Embeds):
        raise InputError(
            f"{folder.name} embeds no text: {type(task).__name__} has no method sentence_encoder"
        )
    return task.sentence_encoder(params)


def _passages(options: argparse.Namespace) -> Iterator[Passage]:
    for number, text in enumerate(options.texts, 1):
        yield Passage(text, f"text {number}")
    for file in options.passages:
        yield from passages_of(file)
    if not options.texts and not options.passages:
        for number, line in enumerate(sys.stdin, 1):
            if text := line.strip():
                yield Passage(text, f"line {number}")


def passages_of(file: Path) -> Iterator[Passage]:
    """Yields what stands between empty lines of a file; a heading belongs to what follows it.

    Raises:
      InputError: the file cannot be read, or is not UTF-8.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"--passages is {str(file)!r}: it cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise InputError(f"--passages is {str(file)!r}: it is not UTF-8 (byte {error.start + 1})") from None
    own: list[str] = []
    began = 1
    for number, line in enumerate([*lines, ""], 1):
        if line.strip():
            began = began if own else number
            own.append(line)
        elif own and (number > len(lines) or not re.match(r"#+ ", own[-1])):
            yield Passage("\n".join(own), f"{file}:{began}")
            own = []
