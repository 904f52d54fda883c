"""The evaluation of a trained translator: scores, samples, a breakdown by group, and pictures."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attnjax.data.text.example import Example
from attnjax.tasks.base import Evaluation
from attnjax.tasks.metrics.text import exact_match, sentence_chrf
from attnjax.tasks.translation.alignment import Translation, draw_alignments, drawable

SAMPLES = 12
DRAWN = 6
WRONG = 200
"""Rows of the table of wrong answers, of each part."""

Metric = Callable[[Sequence[str], Sequence[str]], float]


def evaluated(
    parts: Mapping[str, Sequence[Example]],
    outputs: Mapping[str, Sequence[str]],
    *,
    columns: Mapping[str, Metric],
    translate: Callable[[Sequence[str]], list[Translation]] | None,
    folder: Path,
    untagged: Callable[[str], str] | None = None,
) -> Evaluation:
    """Returns the scores of each part's outputs; writes alignment.png and tables into the folder.

    They are breakdown.tsv, by groups, and wrong.tsv, the worst answers of each part. Where `translate` is
    None, there is no attention to draw. Where `untagged` returns what of a source is text, it is counted how
    often an output copies it.
    """
    metrics = {}
    for label, examples in parts.items():
        references = [example.target for example in examples]
        metrics[label] = {name: metric(outputs[label], references) for name, metric in columns.items()}
        if untagged is not None:
            copied = exact_match(outputs[label], [untagged(example.source) for example in examples])
            metrics[label]["copies of the source %"] = copied
        metrics[label]["examples"] = len(examples)
    _write_breakdown(parts, outputs, folder / "breakdown.tsv")
    _write_wrong(parts, outputs, folder / "wrong.tsv")
    samples = []
    for label, examples in parts.items():
        samples += _samples(label, examples, outputs[label], max(1, SAMPLES // len(parts)))
    drawn = [] if translate is None else _draw(parts, outputs, translate, folder / "alignment.png")
    return Evaluation(metrics, samples, drawn)


def _samples(
    label: str, examples: Sequence[Example], outputs: Sequence[str], count: int
) -> list[dict[str, str]]:
    """Up to half wrong ones, the rest right ones, each from another group as far as there are groups."""
    order = _one_per_group(examples)
    right = [i for i in order if outputs[i] == examples[i].target]
    wrong = [i for i in order if outputs[i] != examples[i].target]
    shown = wrong[: max(count // 2, count - len(right))]
    shown += right[: count - len(shown)]
    return [
        {
            "part": label,
            "source": examples[i].source,
            "translation": outputs[i],
            "reference": examples[i].target,
            "right": "yes" if outputs[i] == examples[i].target else "no",
        }
        for i in shown
    ]


def _one_per_group(examples: Sequence[Example]) -> list[int]:
    """Indices in which every group's first example comes before any group's second, and so on."""
    turns: dict[str, int] = defaultdict(int)
    order = []
    for i, example in enumerate(examples):
        order.append((turns[example.group], i))
        turns[example.group] += 1
    return [i for _, i in sorted(order)]


def _write_breakdown(
    parts: Mapping[str, Sequence[Example]], outputs: Mapping[str, Sequence[str]], path: Path
) -> None:
    """One line for each part and group: examples and exact match in percent, worst first."""
    lines = ["part\tgroup\texamples\texact match %"]
    for label, examples in parts.items():
        groups: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        for example, output in zip(examples, outputs[label], strict=True):
            groups[example.group][0].append(output)
            groups[example.group][1].append(example.target)
        scores = sorted((exact_match(*texts), group, len(texts[0])) for group, texts in groups.items())
        lines += [f"{label}\t{group}\t{count}\t{score:.1f}" for score, group, count in scores]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_wrong(
    parts: Mapping[str, Sequence[Example]], outputs: Mapping[str, Sequence[str]], path: Path
) -> None:
    """A line for each of the worst answers of a part, by their chrF, the worst first."""
    lines = ["part\tchrF\tsource\ttranslation\treference"]
    for label, examples in parts.items():
        wrong = [
            (sentence_chrf(output, example.target), i, output)
            for i, (example, output) in enumerate(zip(examples, outputs[label], strict=True))
            if output != example.target
        ]
        lines += [
            f"{label}\t{score:.1f}\t{examples[i].source}\t{output}\t{examples[i].target}"
            for score, i, output in sorted(wrong)[:WRONG]
        ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _draw(
    parts: Mapping[str, Sequence[Example]],
    outputs: Mapping[str, Sequence[str]],
    translate: Callable[[Sequence[str]], list[Translation]],
    path: Path,
) -> list[Path]:
    """Heat maps of right translations whose characters the fonts have, evenly from the parts."""
    chosen: list[Example] = []
    for label, examples in parts.items():
        right = [examples[i] for i in _one_per_group(examples) if outputs[label][i] == examples[i].target]
        chosen += _distinct([e for e in right if drawable(e.source)], max(1, DRAWN // len(parts)))
    if not chosen:
        return []
    draw_alignments(translate([example.source for example in chosen]), [e.group for e in chosen], path)
    return [path]


def _distinct(examples: Sequence[Example], count: int) -> list[Example]:
    """Returns the longest texts that still fit a panel, one for each locale (or group) as far as possible."""
    ranked = sorted((e for e in examples if len(e.source) <= 40), key=lambda e: -len(e.source))
    firsts = list({example.group.split("/")[0]: example for example in reversed(ranked)}.values())
    others = [example for example in ranked if example not in firsts]
    return [*sorted(firsts, key=ranked.index), *others][:count]
