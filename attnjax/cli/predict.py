"""The commands that use a trained run: `predict`, and `translate`, which is its case for texts."""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from attnjax.cli.machines import device_argument, reader_of
from attnjax.cli.outputs import DistinctNames, require_output
from attnjax.config import InputError, require
from attnjax.experiment import registry
from attnjax.runs.start import Notify
from attnjax.runs.weights import AS_EVALUATED, MEANING

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
    "ensemble_mean": (("probabilities", "log_probabilities"), "of the runs of an --ensemble, at each token"),
}
"""The options of the search: fields of `SearchConfig`, with their types and what they mean."""

ALSO = {"beams": ["--beam"], "replace_unknown": ["--replace-unk"]}
"""Other names of options, which other toolkits have."""

RANKING: dict[str, tuple[Any, str]] = {
    "k": (int, "items of an answer"),
    "exclude_seen": (bool, "leave out what the user took before, or not (default: as the run's config)"),
    "candidates": (list, "choose from these items alone; may be given again"),
    "because": (int, "past items named with each answer; 0: none, which is much faster (default: 3)"),
}
"""The options of runs that recommend: fields of `RankingConfig`, with their types and what they mean."""

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
    text = "take the lines of a file as inputs; one named .gz is unpacked"
    parser.add_argument("--file", "--src", dest="file", type=Path, metavar="FILE", help=text)
    parser.add_argument("--json", action="store_true", help="print a JSON object for each input, one a line")
    parser.add_argument(details, dest="details", action="store_true", help=meaning)
    text = "the folder for pictures and pages of answers that have such (default: the current one)"
    parser.add_argument("--to", type=Path, default=Path(), metavar="FOLDER", help=text)
    parser.add_argument("--scores", action="store_true", help="begin each line with its log probability")
    text = (
        "end each line with the links between its words and those of the input (0-0 1-2, as Pharaoh has it)"
    )
    parser.add_argument("--alignments", action="store_true", help=text)
    more = "another run of the same shape and tokens; together they answer as an ensemble"
    parser.add_argument("--ensemble", action="append", default=[], metavar="RUN", help=more)
    text = "phrases that the answers have to have: a line for each input, with tabs between them"
    parser.add_argument("--constraints", type=Path, metavar="FILE", help=text)
    group = parser.add_argument_group("search, of runs that translate (default: as the run's config has it)")
    search_arguments(group)
    _ranking_arguments(parser)
    weights_argument(parser)
    device_argument(parser, "1")


def search_arguments(group: Any) -> None:
    """Adds the options of the search."""
    for name, (kind, meaning) in SEARCH.items():
        flags = [f"--{name.replace('_', '-')}", *ALSO.get(name, ())]
        if kind is bool:
            group.add_argument(*flags, dest=name, action="store_const", const=True, help=meaning)
        elif kind is list:
            group.add_argument(*flags, dest=name, action="append", metavar="TEXT", help=meaning)
        elif isinstance(kind, tuple):
            group.add_argument(*flags, dest=name, choices=kind, help=meaning)
        else:
            group.add_argument(*flags, dest=name, type=kind, metavar=kind.__name__.upper(), help=meaning)


def weights_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the option of the parameters."""
    text = f"{MEANING} (default: {AS_EVALUATED})"
    parser.add_argument("--weights", metavar="last|best[:K]", help=text)


def _ranking_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of runs that recommend."""
    group = parser.add_argument_group("ranking, of runs that recommend")
    group.add_argument("--user", action="append", default=[], metavar="USER", help="a user of the log")
    text = "a history of a user that the log has not, the oldest item first, with commas between them"
    group.add_argument("--history", action="append", default=[], metavar="ITEMS", help=text)
    text = "an item, whose neighbours are asked for"
    group.add_argument("--similar", action="append", default=[], metavar="ITEM", help=text)
    for name, (kind, meaning) in RANKING.items():
        flag = f"-{name}" if len(name) == 1 else f"--{name.replace('_', '-')}"
        if kind is bool:
            choice = argparse.BooleanOptionalAction
            group.add_argument(flag, dest=name, action=choice, default=None, help=meaning)
        elif kind is list:
            group.add_argument(flag, dest=name, action="append", metavar="ITEM", help=meaning)
        else:
            group.add_argument(flag, dest=name, type=kind, metavar=kind.__name__.upper(), help=meaning)
    text = "write a row for each item of each answer into a Parquet file in the place of printing them"
    group.add_argument("--parquet", type=Path, metavar="FILE", help=text)


def predict(options: argparse.Namespace, notify: Notify) -> int:
    """Prints the answers of a trained run to texts, or to the lines of a file or of standard input."""
    from attnjax.runs import store
    from attnjax.runs.predict import predictions

    require(options.to.is_dir(), f"--to is {str(options.to)!r}: there is no such folder")
    for user in options.user:
        require(bool(user.strip()), f"--user is {user!r}: expected the name of a user")
    if options.parquet is not None:
        require_output("--parquet", options.parquet)
    registry.discover(options.experiments)
    run = store.resolve(options.run, options.runs)
    texts, source, total = _inputs(options)
    others = [store.resolve(name, options.runs) for name in options.ensemble]
    given: dict[str, Any] = {"source": source, "weights": options.weights, "on": reader_of(options)}
    given["arriving"] = source is not None and options.file is None
    if options.constraints is not None:
        given |= _constraints(options.constraints, total)
    answers = predictions(run, texts, search=search_changes(options), ensemble=others, **given)
    if options.parquet is not None:
        return _written(_with_progress(answers, total, notify), options.parquet, notify)
    shown = _json if options.json else _readable
    named = DistinctNames()
    for text, answer in answers if sys.stdout.isatty() else _with_progress(answers, total, notify):
        print(shown(text, answer, options), flush=True)
        for file in answer.save(options.to, named) if answer is not None else ():
            notify(f"wrote {file}")
    return 0


def search_changes(options: argparse.Namespace) -> dict[str, Any]:
    """Returns the settings of the search, or of the ranking, that the command line has."""
    found = {name: getattr(options, name, None) for name in (*SEARCH, *RANKING)}
    given = {name: value for name, value in found.items() if value is not None}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def translate(options: argparse.Namespace, notify: Notify) -> int:
    """Translates texts, or the lines of a file or of standard input, with a trained run."""
    return predict(options, notify)


def _inputs(options: argparse.Namespace) -> tuple[Iterable[str], str | None, int | None]:
    """The inputs, the name of where they are lines of, and how many they are if that is known."""
    from attnjax.data.text.lines import decoded, decoded_lines

    file: Path | None = options.file
    asked = [f"items: {items}" for items in options.history]
    asked += [*options.user, *(f"similar: {item}" for item in options.similar)]
    if asked:
        require(file is None, "--file comes with --user, --history or --similar: expected one of them")
        options.texts = [*asked, *options.texts]
    if file is None:
        if options.texts:
            for number, text in enumerate(options.texts, 1):  # Only looked at: one may name a file.
                decoded(os.fsencode(text), f"input {number}")
            return options.texts, None, len(options.texts)
        return decoded_lines(sys.stdin.buffer, "standard input"), "standard input", None
    require(not options.texts, "--file comes with texts: expected one of them")
    try:
        file.open("rb").close()
    except OSError as error:
        raise InputError(f"--file is {str(file)!r}: it cannot be read ({error.strerror})") from None
    total = sum(1 for _ in _lines(file))
    return decoded_lines(_lines(file), str(file)), str(file), total


def _constraints(file: Path, total: int | None) -> dict[str, Any]:
    """The phrases of each input, and the name of their file."""
    from attnjax.data.text.lines import content, decoded_lines

    lines = decoded_lines(content(file).removesuffix(b"\n").split(b"\n"), str(file))
    phrases = [[phrase.strip() for phrase in line.split("\t") if phrase.strip()] for line in lines]
    require(
        total in (None, len(phrases)),
        f"--constraints is {str(file)!r}: it has {len(phrases)} lines, expected one for each input, {total}",
    )
    return {"constraints": phrases, "constraints_source": str(file)}


def _lines(file: Path) -> Iterator[bytes]:
    from attnjax.data.text.lines import opened

    with opened(file) as lines:
        yield from lines


def _readable(text: str, answer: "Prediction | None", options: argparse.Namespace) -> str:
    from attnjax.runs.predict import links_of

    ranked = [] if answer is None else answer.ranked()
    lines = []
    for one in ranked:
        columns = [f"{one.log_prob:.4f}"] if options.scores and one.log_prob is not None else []
        columns += [one.text, links_of(one)] if options.alignments else [one.text]
        lines.append("\t".join(columns))
        picture = one.picture() if options.details else ""
        lines += [picture] if picture else []
    # As many for each input, so that a line says by its place which input it answers.
    lines += [""] * ((options.n_best or 1) - len(ranked))
    return "\n".join(lines)


def _json(text: str, answer: "Prediction | None", options: argparse.Namespace) -> str:
    from attnjax.runs.predict import record_of

    shown = {name: getattr(options, name) for name in ("scores", "details", "alignments")}
    return json.dumps(record_of(text, answer, **shown), ensure_ascii=False)


def _written(answers: "Iterable[tuple[str, Prediction | None]]", file: Path, notify: Notify) -> int:
    """Writes the items of all answers, a row for each."""
    import polars

    rows: list[dict[str, Any]] = []
    for text, answer in answers:
        if answer is None:
            continue
        record = answer.record()
        require("items" in record, f"--parquet is {str(file)!r}: the answers are no items")
        for place, item in enumerate(record["items"], 1):
            rows.append({"input": text, "rank": place, **item, "note": record.get("note")})
    types = {"input": polars.String, "rank": polars.Int32, "note": polars.String}
    polars.DataFrame(rows, schema_overrides=types, infer_schema_length=None).write_parquet(file)
    notify(f"{len(rows)} rows in {file}")
    return 0


def _with_progress(items: Iterable[T], total: int | None, notify: Notify) -> Iterator[T]:
    """The items as they come; from time to time it is said how many they are by now."""
    said = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        if count != total and time.monotonic() - said > BETWEEN_NOTES:
            said = time.monotonic()
            notify(f"{count} of {total} inputs" if total else f"{count} inputs")
