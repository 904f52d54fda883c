"""The commands that hold answers against others: `score` and `evaluate`."""

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.cli.machines import device_argument, reader_of
from attnjax.cli.predict import search_arguments, search_changes, weights_argument
from attnjax.config import require
from attnjax.experiment import registry
from attnjax.runs.start import Notify

if TYPE_CHECKING:
    from attnjax.tasks.base import Prediction

METRICS = ("bleu", "chrf", "ter")


def score_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `attnjax score`."""
    parser.add_argument("run", metavar="RUN", help="a run's id, the start of one, or its folder")
    _pair_arguments(parser, "--tgt", "the translations, one a line", required=True)
    parser.add_argument("--json", action="store_true", help="print a JSON object for each pair, one a line")
    text = "end each line with the links between its words and those of its source"
    parser.add_argument("--alignments", action="store_true", help=text)
    text = "links that people made, line by line: sure ones as 0-1, possible ones as 0?1 (or 0p1)"
    parser.add_argument("--gold", type=Path, metavar="FILE", help=text)
    text = "the number of the first word in --gold (default: 0)"
    parser.add_argument("--gold-first", type=int, choices=(0, 1), default=0, help=text)
    weights_argument(parser)
    device_argument(parser, "1")


def score(options: argparse.Namespace, notify: Notify) -> int:
    """Prints how likely a run holds given translations: the log probability of each; the AER of its links."""
    from attnjax.runs import store
    from attnjax.runs.score import scores
    from attnjax.tasks.metrics.alignment import alignment_error_rate, read_gold

    registry.discover(options.experiments)
    run = store.resolve(options.run, options.runs)
    sources, targets = _aligned(options.src, options.tgt)
    gold = []
    if options.gold is not None:
        lines = _lines_like(options.src, len(sources), options.gold)
        named = enumerate(lines, 1)
        gold = [read_gold(line, f"{options.gold}:{i}", options.gold_first) for i, line in named]
    found: list[Any] = []
    asked: dict[str, Any] = {"weights": options.weights, "on": reader_of(options)}
    for number, one in enumerate(scores(run, sources, targets, **asked), 1):
        found.append(None if isinstance(one, str) else one)
        if isinstance(one, str):
            notify(f"{options.src}:{number}: {one}: it has no score")
        print(_shown(sources[number - 1], found[-1], options), flush=True)
    scored = [one for one in found if one is not None]
    if scored:
        logs = [value for one in scored for value in one.piece_log_probs]
        total, count = math.fsum(logs), len(logs)
        notify(
            f"{len(scored)} pairs, {count} tokens: log probability {total:.4f}, "
            f"perplexity {math.exp(-total / count):.4f}"
        )
    if gold:
        links = [[] if one is None else [_link(text) for text in one.links().split()] for one in found]
        notify(f"alignment error rate {alignment_error_rate(links, gold):.4f} on {len(gold)} pairs")
    return 0


def evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `attnjax evaluate`."""
    parser.add_argument("run", metavar="RUN", help="a run's id, the start of one, or its folder")
    text = "another run, compared with RUN by paired bootstrap; may be given again"
    parser.add_argument("--against", action="append", default=[], metavar="RUN", help=text)
    _pair_arguments(
        parser, "--ref", "the right translations, one a line (default: those that the run held out)"
    )
    text = "of sacrebleu (default: all three)"
    parser.add_argument("--metrics", nargs="+", choices=METRICS, default=METRICS, metavar="METRIC", help=text)
    text = "resamples of the bootstrap (default: 1000)"
    parser.add_argument("--resamples", type=int, default=1000, metavar="INT", help=text)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    search_arguments(parser.add_argument_group("search (default: as the run's config has it)"))
    weights_argument(parser)
    device_argument(parser, "1")


def evaluate(options: argparse.Namespace, notify: Notify) -> int:
    """Measures translations by BLEU, chrF and TER, with bootstrap intervals, also against other runs."""
    from attnjax.runs import store
    from attnjax.runs.measure import measure

    require(options.resamples > 0, f"--resamples is {options.resamples}: expected 1 or more")
    both = (options.src is None) == (options.ref is None)
    require(both, "--src and --ref come together: expected both or none")
    registry.discover(options.experiments)
    runs = [store.resolve(name, options.runs) for name in (options.run, *options.against)]
    parts = None if options.src is None else {options.src.name: _aligned(options.src, options.ref)}
    asked: dict[str, Any] = {"metrics": options.metrics, "samples": options.resamples}
    asked |= {"weights": options.weights, "on": reader_of(options)}
    found = measure(runs, parts, search=search_changes(options), **asked)
    if options.json:
        rows = {
            part: {name: [one._asdict() for one in own] for name, own in systems.items()}
            for part, systems in found.items()
        }
        print(json.dumps(rows, ensure_ascii=False))
        return 0
    for part, systems in found.items():
        print(part)
        for name, own in systems.items():
            for one in own:
                p_value = "" if one.p_value is None else f"  p {one.p_value:.4f}"
                print(f"  {name}  {one.metric} {one.score:.2f}  ({one.mean:.2f} ± {one.margin:.2f}){p_value}")
        for one in next(iter(systems.values())):
            print(f"  {one.metric}: {one.signature}")
    return 0


def _pair_arguments(
    parser: argparse.ArgumentParser, other: str, meaning: str, *, required: bool = False
) -> None:
    text = "the sources, one a line; packed if it is named .gz, as all files here"
    parser.add_argument("--src", type=Path, metavar="FILE", required=required, help=text)
    parser.add_argument(other, type=Path, metavar="FILE", required=required, help=meaning)


def _aligned(source: Path, other: Path) -> tuple[list[str], list[str]]:
    sources = _text_lines(source)
    return sources, _lines_like(source, len(sources), other)


def _lines_like(first: Path, count: int, file: Path) -> list[str]:
    lines = _text_lines(file)
    require(len(lines) == count, f"{file} has {len(lines)} lines, {first} {count}: expected as many")
    return lines


def _text_lines(file: Path) -> list[str]:
    from attnjax.data.text.lines import decoded_lines, lines_of

    return list(decoded_lines(lines_of(file), str(file)))


def _shown(source: str, one: "Prediction | None", options: argparse.Namespace) -> str:
    if options.json:
        record: dict[str, Any] = {"input": source}
        if one is not None:
            record |= {"target": one.text, "log_prob": one.log_prob, **one.details()}
            record |= {"alignments": one.links()} if options.alignments else {}
        return json.dumps(record, ensure_ascii=False)
    if one is None:
        return ""
    columns = [f"{one.log_prob:.4f}", *([one.links() or ""] if options.alignments else [])]
    return "\t".join(columns)


def _link(text: str) -> tuple[int, int]:
    source, _, target = text.partition("-")
    return int(source), int(target)
