"""The evaluation of a trained captioner: scores, samples and pictures."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from attnjax.data.images.pictures import Pictures
from attnjax.tasks.base import Evaluation
from attnjax.tasks.captioning.caption import Caption, overlays
from attnjax.tasks.captioning.pointing import Pointed
from attnjax.tasks.metrics.captions import any_exact, cider, rouge_l
from attnjax.tasks.metrics.text import bleu_of_several
from attnjax.tasks.pictures import save

SAMPLES = 12
DRAWN = 2
"""Images of a part that are drawn."""
GREY_ROW = "{}, in grey"
COLUMNS = {"exact match %": any_exact, "CIDEr-D": cider, "BLEU-4": bleu_of_several, "ROUGE-L": rouge_l}


def evaluated(
    parts: Mapping[str, tuple[Pictures, str]],
    *,
    images: Callable[[Pictures, Sequence[int]], np.ndarray],
    write: Callable[[np.ndarray, str], list[Caption]],
    pointing: Callable[[Pictures], list[Pointed]],
    folder: Path,
) -> Evaluation:
    """Returns the scores of each part, seen and in grey; writes captions.png and words.tsv into the folder.

    Where regions are known, "pointing %" is the share of words whose greatest weight is on a patch of what
    they are said of, and "chance %" that of patches that are; words.tsv has both for each word.

    Args:
      parts: the images of each row, with the beginning of their captions that is given.
      images: returns the pixels of some images of a part.
      write: returns captions of pixels, that begin as given.
      pointing: returns the pointing game of a part.
      folder: for the picture and the table of words.
    """
    metrics: dict[str, dict[str, float]] = {}
    samples: list[dict[str, str]] = []
    drawn: list[Caption] = []
    pointed: dict[str, list[Pointed]] = {}
    for name, (part, beginning) in parts.items():
        pixels = images(part, range(len(part)))
        written = write(pixels, beginning)
        pointed[name] = pointing(part)
        metrics[name] = _scores(written, part) | _shares(pointed[name]) | {"examples": len(part)}
        grey = write(np.full_like(pixels[:1], 128), beginning)
        metrics[GREY_ROW.format(name)] = _scores(grey * len(part), part) | {"examples": len(part)}
        samples += _samples(name, written, part, max(1, SAMPLES // len(parts)))
        drawn += written[: DRAWN if len(parts) < 3 else 1]
    if any(pointed.values()):
        _write_words(pointed, folder / "words.tsv")
    figure = folder / "captions.png"
    save(overlays(drawn, [one.text for one in drawn]), figure)
    return Evaluation(metrics, samples, [figure])


def _scores(written: Sequence[Caption], part: Pictures) -> dict[str, float]:
    outputs = [one.text for one in written]
    return {name: metric(outputs, part.captions) for name, metric in COLUMNS.items()}


def _shares(pointed: Sequence[Pointed]) -> dict[str, float]:
    if not pointed:
        return {}
    hits, chances = [one.hit for one in pointed], [one.chance for one in pointed]
    return {"pointing %": 100 * float(np.mean(hits)), "chance %": 100 * float(np.mean(chances))}


def _write_words(parts: Mapping[str, Sequence[Pointed]], path: Path) -> None:
    """Writes a line for each part and word, the one that points worst first."""
    lines = ["part\tword\ttimes\tpointing %\tchance %"]
    for part, pointed in parts.items():
        by_word: dict[str, list[Pointed]] = defaultdict(list)
        for one in pointed:
            by_word[one.word].append(one)
        rows = sorted((*_shares(own).values(), word, len(own)) for word, own in by_word.items())
        lines += [f"{part}\t{word}\t{count}\t{hit:.1f}\t{chance:.1f}" for hit, chance, word, count in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _samples(name: str, written: Sequence[Caption], part: Pictures, count: int) -> list[dict[str, str]]:
    """Returns up to half wrong captions, the rest right ones."""
    right = [i for i, one in enumerate(written) if one.text in part.captions[i]]
    wrong = sorted(set(range(len(written))) - set(right))
    shown = wrong[: max(count // 2, count - len(right))]
    shown += right[: count - len(shown)]
    return [
        {
            "part": name,
            "caption": written[i].text,
            "reference": part.captions[i][0],
            "right": "yes" if i in right else "no",
        }
        for i in shown
    ]
