"""The commands that use a trained run: `predict`, and `translate`, which is its case for texts."""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from attnjax.config import InputError, require
from attnjax.experiment import registry
from attnjax.runs.start import Notify

if TYPE_CHECKING:
    from attnjax.tasks.base import Prediction

BETWEEN_NOTES = 10.0
"""Seconds from one line of progress to the next."""

SEARCH: dict[str, tuple[Any, str]] = {
    "beams": (int, "beams of a sentence; 1 takes the likeliest token at each step"),
    "n_best": (int, "so many translations of each line, the best first, on lines of their own"),
    "length_penalty": (("none", "average", "gnmt"), "by what the log probability is divided"),
    "alpha": (float, "of the length penalty gnmt"),
    "coverage_penalty": (("none", "summary", "wu"), "for source pieces read again, or left out"),
    "beta": (float, "of the coverage penalty"),
    "min_length": (int, "least tokens of a translation"),
    "max_length": (int, "most tokens of a translation"),
    "min_ratio": (float, "least tokens for each token of the source"),
    "max_ratio": (float, "most tokens for each token of the source"),
    "block_ngrams": (int, "no run of so many tokens comes twice"),
    "block_except": (list, "but for runs with its tokens; may be given again"),
    "ban": (list, "a text that may not come; may be given again"),
    "ban_unknown": (bool, "the unknown token may not come"),
    "replace_unknown": (bool, "an unknown token becomes the source piece that it looks at most"),
    "prefix": (str, "what each translation begins with"),
    "temperature": (float, "draw translations in place of searching"),
    "samples": (int, "of so many drawn ones the one most like the others (MBR with chrF)"),
    "seed": (int, "of what is drawn"),
}
"""The options of the search: fields of `SearchConfig`, with their types and what they mean."""

T = TypeVar("T")


def predict_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `attnjax predict`."""
    more = "show what else is known of each answer, such as where the model looked"
    _arguments(parser, "--details", more)


def translate_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `attnjax translate`."""
    looked = "show where each piece of output looked: the last decoder layer, the mean of its heads"
    _arguments(parser, "--alignment", looked)


def _arguments(parser: argparse.ArgumentParser, details: str, meaning: str) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's id, the start of one, or its folder")
    text = "an input: a text, token ids in quotes, or the file of an image (default: lines of stdin)"
    parser.add_argument("texts", metavar="TEXT", nargs="*", help=text)
    parser.add_argument("--file", type=Path, metavar="FILE", help="take the lines of a file as inputs")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each input, one a line")
    parser.add_argument(details, dest="details", action="store_true", help=meaning)
    text = "the folder for pictures and pages of answers that have such (default: the current one)"
    parser.add_argument("--to", type=Path, default=Path(), metavar="FOLDER", help=text)
    parser.add_argument("--scores", action="store_true", help="begin each line with its log probability")
    more = "another run of the same shape and tokens; together they answer as an ensemble"
    parser.add_argument("--ensemble", action="append", default=[], metavar="RUN", help=more)
    group = parser.add_argument_group("search, of runs that translate (default: as the run's config has it)")
    for name, (kind, meaning) in SEARCH.items():
        flag = f"--{name.replace('_', '-')}"
        if kind is bool:
            group.add_argument(flag, dest=name, action="store_const", const=True, help=meaning)
        elif kind is list:
            group.add_argument(flag, dest=name, action="append", metavar="TEXT", help=meaning)
        elif isinstance(kind, tuple):
            group.add_argument(flag, dest=name, choices=kind, help=meaning)
        else:
            group.add_argument(flag, dest=name, type=kind, metavar=kind.__name__.upper(), help=meaning)
    text = "those after the last step, or of the best validation (default: last)"
    parser.add_argument("--weights", choices=("best", "last"), default="last", help=text)


def predict(options: argparse.Namespace, notify: Notify) -> int:
    """Prints the answers of a trained run to texts, or to the lines of a file or of standard input."""
    from attnjax.runs import store
    from attnjax.runs.predict import predictions

    require(options.to.is_dir(), f"--to is {str(options.to)!r}: there is no such folder")
    registry.discover(options.experiments)
    run = store.resolve(options.run, options.runs)
    texts, source, total = _inputs(options)
    changes = {name: getattr(options, name) for name in SEARCH if getattr(options, name) is not None}
    changes = {name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()}
    others = [store.resolve(name, options.runs) for name in options.ensemble]
    given: dict[str, Any] = {"source": source, "weights": options.weights}
    answers = predictions(run, texts, search=changes, ensemble=others, **given)
    shown = _json if options.json else _readable
    for text, answer in answers if sys.stdout.isatty() else _with_progress(answers, total, notify):
        print(shown(text, answer, options), flush=True)
        for file in answer.save(options.to) if answer is not None else ():
            notify(f"wrote {file}")
    return 0


def translate(options: argparse.Namespace, notify: Notify) -> int:
    """Translates texts, or the lines of a file or of standard input, with a trained run."""
    return predict(options, notify)


def _inputs(options: argparse.Namespace) -> tuple[Iterable[str], str | None, int | None]:
    """The inputs, the name of where they are lines of, and how many they are if that is known."""
    from attnjax.data.text.parallel_text import decoded_lines

    file: Path | None = options.file
    if file is None:
        if options.texts:
            return options.texts, None, len(options.texts)
        return decoded_lines(sys.stdin.buffer, "standard input"), "standard input", None
    require(not options.texts, "--file comes with texts: expected one of them")
    try:
        with file.open("rb") as lines:
            total = sum(1 for _ in lines)
    except OSError as error:
        raise InputError(f"--file is {str(file)!r}: it cannot be read ({error.strerror})") from None
    return decoded_lines(_lines(file), str(file)), str(file), total


def _lines(file: Path) -> Iterator[bytes]:
    with file.open("rb") as lines:
        yield from lines


def _readable(text: str, answer: "Prediction | None", options: argparse.Namespace) -> str:
    if answer is None:
        return ""
    lines = []
    for one in answer.ranked():
        scored = options.scores and one.log_prob is not None
        lines.append(f"{one.log_prob:.4f}\t{one.text}" if scored else one.text)
        picture = one.picture() if options.details else ""
        lines += [picture] if picture else []
    return "\n".join(lines)


def _json(text: str, answer: "Prediction | None", options: argparse.Namespace) -> str:
    record: dict[str, Any] = {"input": text}
    if answer is not None:
        record |= answer.record() | (answer.details() if options.details else {})
        record |= {"log_prob": answer.log_prob} if options.scores else {}
    return json.dumps(record, ensure_ascii=False)


def _with_progress(items: Iterable[T], total: int | None, notify: Notify) -> Iterator[T]:
    """The items as they come; from time to time it is said how many they are by now."""
    said = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        if count != total and time.monotonic() - said > BETWEEN_NOTES:
            said = time.monotonic()
            notify(f"{count} of {total} inputs" if total else f"{count} inputs")
