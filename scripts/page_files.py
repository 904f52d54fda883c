"""Small files under the names that pages give to what is their reader's: texts, tables, pictures, models."""

import csv
import gzip
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
HELD_OUT = 40
"""Pairs of the test."""


def pairs() -> list[tuple[str, str]]:
    """Returns the German and English names of languages and territories (CLDR, which Babel brings along)."""
    from babel import Locale

    german, english = Locale("de"), Locale("en")
    both = [(german.languages, english.languages), (german.territories, english.territories)]
    return [(own[code], other[code]) for own, other in both for code in own if code in other]


def side(number: int, part: slice) -> Callable[[Path], None]:
    """Returns what writes one side of a part of the pairs, a line each."""
    return lambda file: _lines(file, (pair[number] for pair in pairs()[part]))


def table(
    *columns: str,
) -> Callable[[Callable[[np.random.Generator], Iterable[Any]]], Callable[[Path], None]]:
    """Returns a decorator that makes of drawn rows what writes them as CSV."""

    def of(rows: Callable[[np.random.Generator], Iterable[Any]]) -> Callable[[Path], None]:
        def write(file: Path) -> None:
            with file.open("w", newline="") as stream:
                csv.writer(stream).writerows([columns, *rows(np.random.default_rng(0))])

        return write

    return of


@table("id", "died", "age", "sex", "ward", "meanbp", "note")
def persons(rng: np.random.Generator) -> Iterable[Any]:
    """300 persons, of whom the old die more often."""
    for i in range(300):
        age = rng.integers(20, 90)
        yield (
            i,
            int(rng.random() < age / 120),
            age,
            "mf"[i % 2],
            1 + i % 3,
            round(rng.normal(90, 15), 1),
            "none",
        )


@table("smiles", "value")
def molecules(_: np.random.Generator) -> Iterable[Any]:
    """Chains of carbon with an end, and a number that falls with their length."""
    for ends in ("", "O", "N", "Cl", "C(=O)O", "c1ccccc1"):
        yield from (("C" * length + ends, 1 - 0.3 * length) for length in range(1, 16))


@table("scene", "car", "time", "x", "y")
def tracks(rng: np.random.Generator) -> Iterable[Any]:
    """60 scenes of three cars that drive straight on, in steps of half a second."""
    for scene in range(60):
        for car in range(3):
            speed, start = rng.uniform(5, 15), rng.uniform(0, 40)
            for step in range(20):
                yield scene, car, step / 2, round(start + speed * step / 2, 2), 4 * car


@table("person", "time", "sign", "value")
def events(rng: np.random.Generator) -> Iterable[Any]:
    """Of 300 persons measurements on days of two years, and a diagnosis."""
    for person in range(300):
        for day in np.sort(rng.integers(0, 700, 12)):
            yield person, day, "pulse", round(rng.normal(70, 10), 1)
        yield person, 700, "gout", ""


@table("person", "died", "followup", "age", "sex")
def outcomes(rng: np.random.Generator) -> Iterable[Any]:
    """Of the same persons who died, and the day of that or of the last news."""
    for person in range(300):
        died = person % 3 == 0
        last = rng.integers(400, 2000) if died else 2500
        yield person, "yes" if died else "no", last, rng.integers(20, 90), "mf"[person % 2]


@table("userId", "movieId", "rating", "timestamp")
def ratings(rng: np.random.Generator) -> Iterable[Any]:
    """Of 120 users twenty films each."""
    for user in range(120):
        films = rng.permutation(60)[:20]
        yield from ((user, 1 + film, 4.0, 1000 * user + i) for i, film in enumerate(films))


@table("review", "stars")
def reviews(rng: np.random.Generator) -> Iterable[Any]:
    """Texts with a label."""
    for i in range(400):
        words = rng.choice(["film", "plot", "scene", "end", "music", "very", "the"], 3 + i % 5)
        yield f"{'good' if i % 2 else 'bad'} {' '.join(words)} {i}", "high" if i % 2 else "low"


def texts(folder: Path) -> None:
    """A folder of this repository's own pages."""
    folder.mkdir()
    for file in sorted(ROOT.glob("docs/guides/*.md")):
        shutil.copy(file, folder)


def tokenizer(file: Path) -> None:
    """Byte pairs of those pages."""
    import tokenizers

    made = tokenizers.ByteLevelBPETokenizer()
    made.train(
        [str(page) for page in sorted(ROOT.glob("docs/guides/*.md"))], vocab_size=500, show_progress=False
    )
    made.save(str(file))


def picture(file: Path) -> None:
    """A red square on grey."""
    from PIL import Image

    image = np.full((32, 32, 3), 128, np.uint8)
    image[8:20, 10:22] = 220, 30, 30
    Image.fromarray(image).save(file)


def clip(file: Path) -> None:
    """A second of two tones."""
    from tests.pretrained.tiny_whisper import tones, write_wav

    write_wav(file, tones(1.0))


def boxes(file: Path) -> None:
    """COCO's JSON of 60 pictures with a box each, in the folder photos."""
    folder = file.parent / "photos"
    folder.mkdir()
    images, annotations = [], []
    for i in range(60):
        picture(folder / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "width": 32, "height": 32})
        annotations.append({"id": i, "image_id": i, "category_id": 1, "bbox": [10, 8, 12, 12]})
    found = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "square"}]}
    file.write_text(json.dumps(found))


def bert(folder: Path) -> None:
    """A small BERT, which the tests write too."""
    from tests.pretrained.tiny import tiny_bert

    tiny_bert(folder)


def llama(folder: Path) -> None:
    """A small Llama over bytes, which the tests write too."""
    from tests.cli.small_llama import write_small_llama

    write_small_llama(folder, layers=6, max_length=256)


def labelled(file: Path) -> None:
    """Texts with labels, or with numbers."""
    from tests.pretrained import tiny

    tiny.labelled(file, numbers=file.name == "ratings.tsv")


def summarised(file: Path) -> None:
    """Texts, their titles and authors, an object in a line."""
    found = ({"text": f"{one}, in German {other}.", "title": one, "author": one[0]} for other, one in pairs())
    _lines(file, map(json.dumps, found))


def packed(file: Path) -> None:
    """The lines of corpus.de."""
    file.write_bytes(gzip.compress("".join(f"{source}\n" for source, _ in pairs()[:HELD_OUT]).encode()))


def _lines(file: Path, found: Iterable[str]) -> None:
    file.write_text("".join(f"{line}\n" for line in found), encoding="utf-8")


FILES: dict[str, Callable[[Path], None]] = {
    "pairs.tsv": lambda file: _lines(file, map("\t".join, pairs())),
    "train.de": side(0, slice(HELD_OUT, None)),
    "train.en": side(1, slice(HELD_OUT, None)),
    "test.de": side(0, slice(HELD_OUT)),
    "test.en": side(1, slice(HELD_OUT)),
    "corpus.de": side(0, slice(HELD_OUT)),
    "corpus.de.gz": packed,
    "test.links": lambda file: _lines(file, ["0-0"] * HELD_OUT),
    "mine.tsv": labelled,
    "ratings.tsv": labelled,
    "reviews.csv": reviews,
    "my_texts": texts,
    "tokenizer.json": tokenizer,
    "lines.txt": side(0, slice(HELD_OUT)),
    "phrases.txt": lambda file: _lines(file, [""] * HELD_OUT),
    "texts.txt": lambda file: _lines(file, ["Returns the greatest of all given numbers, or none of them."]),
    "mine.jsonl": summarised,
    "prompts.txt": lambda file: _lines(file, ["Once upon a time", "The end"]),
    "mine.csv": persons,
    "events.csv": events,
    "persons.csv": outcomes,
    "ratings.csv": ratings,
    "users.txt": lambda file: _lines(file, ["196", "22"]),
    "tracks.csv": tracks,
    "picture.png": picture,
    "digit.png": picture,
    "train.json": boxes,
    "clip.wav": clip,
    "my-bert": bert,
    "my-minilm": bert,
    "models/all-MiniLM-L6-v2": bert,
    "models/tinystories": llama,
    "llama-3.2-1b": llama,
    "llama-tiny": llama,
}
"""What a page may name, and what writes it."""

OTHERS = {"docs/guides/molecules.md": {"mine.csv": molecules}}
"""Names that mean something else on a page."""


def write(folder: Path, page: str, text: str) -> None:
    """Writes into a folder the files that the commands of a page name."""
    for name, writer in (FILES | OTHERS.get(page, {})).items():
        file = folder / name
        if name in text and not file.exists():
            file.parent.mkdir(exist_ok=True)
            writer(file)
