"""Texts with labels or headings, and books."""

import json
import re
import struct
import tarfile
import zlib
from collections.abc import Iterator
from html import unescape
from pathlib import Path

from attnjax.data.fetch.pairs import cleaned, distinct, write_pairs

REVIEWS = "movieReviewSnippets_GroundTruth.txt"


def film(target: Path, package: Path) -> int:
    """Writes sentences of film reviews, with the sign of their mean human rating as a word."""
    labelled = ((text, "positive" if rating > 0 else "negative") for text, rating in rated(package) if rating)
    return write_pairs(target / "film.tsv", distinct(labelled))


def film_ratings(target: Path, package: Path) -> int:
    """Writes the same sentences with their mean ratings, from -4 to 4."""
    pairs = ((text, f"{rating:g}") for text, rating in rated(package))
    return write_pairs(target / "film_ratings.tsv", distinct(pairs))


def rated(package: Path) -> Iterator[tuple[str, float]]:
    """Yields sentences of film reviews in vaderSentiment (Hutto & Gilbert, 2014), with mean ratings."""
    with tarfile.open(package / "additional_resources" / "hutto_ICWSM_2014.tar.gz") as archive:
        member = next(m for m in archive.getmembers() if Path(m.name).name == REVIEWS)
        file = archive.extractfile(member)
        assert file is not None
        lines = file.read().decode("utf-8", "replace").splitlines()
    for line in lines:
        _, rating, text = line.split("\t")
        yield text, float(rating)


def help_pages(target: Path, package: Path) -> int:
    """Writes pages of LibreOffice's help, their headings and folders, a JSON object a line."""
    folder = package / "usr/share/libreoffice/help/en-US/text"
    lines = []
    for file in sorted(folder.rglob("*.html")):
        # The foot of a page names its heading.
        page = file.read_text(encoding="utf-8").partition('<div id="DisplayArea"')[2]
        page = page.partition("<footer>")[0]
        heading = re.search(r"<h1[^>]*>(.*?)</h1>", page, re.DOTALL)
        found = re.findall(r"<p [^>]*>(.*?)</p>", page, re.DOTALL)
        text, title = (
            cleaned(unescape(re.sub(r"<[^>]*>", "", part)))
            for part in (" ".join(found), heading[1] if heading else "")
        )
        if text and title:
            group = str(file.parent.relative_to(folder))
            lines.append(json.dumps({"text": text, "summary": title, "folder": group}, ensure_ascii=False))
    file = target / "help_pages.jsonl"
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return len(lines)


def verses(target: Path, package: Path) -> int:
    """Writes the books of the King James Bible, a text file each, a line for a paragraph."""
    source = package / "usr/share/sword/modules/texts/ztext/engKJV2006eb"
    folder = target / "verses"
    folder.mkdir()
    for part in ("ot", "nt"):
        packed, places = ((source / f"{part}.{kind}").read_bytes() for kind in ("bzz", "bzs"))
        # A block is a book: where it begins, how long it is packed and unpacked. The first is a heading.
        for number, (start, size, _) in enumerate(struct.iter_unpack("<3I", places)):
            text = zlib.decompress(packed[start : start + size]).decode("utf-8")
            text = re.sub(r"<note.*?</note>|<[^>]*>", "", text, flags=re.DOTALL)
            lines = (cleaned(line) for line in text.split("¶"))
            if number:
                file = folder / f"{part}_{number:02}.txt"
                file.write_text("".join(f"{line}\n" for line in lines if line), encoding="utf-8")
    return len(list(folder.iterdir()))
