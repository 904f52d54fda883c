"""Pictures with labels, and with captions."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from attnjax.config import InputError

LANGUAGES = ("en", "de", "es", "fr", "sw")
"""Languages of the names of emoji, where no others are asked for."""
TONES = range(0x1F3FB, 0x1F400)
VARIATION = "\ufe0f"
"""A character that asks for colour; the font knows sequences without it."""
TENTHS = {0: "test", 1: "val"}


def fashion_mnist(target: Path, package: Path) -> int:
    """Writes Fashion-MNIST, 28 × 28 grey pictures of clothes in ten kinds, in its official parts."""
    shutil.copytree(package / "usr/share/datasets/fashion-mnist", target / "fashion_mnist")
    return 70_000


def emoji(target: Path, font: Path, cldr: Path, languages: Sequence[str] = LANGUAGES) -> int:
    """Writes Noto's colour emoji with their CLDR names in several languages.

    Each name begins with its language as a tag ("<de> …"). Of the pictures in several skin tones a tenth of
    the combinations of what they show and a tone is kept for the test, and a tenth for validation: what they
    show comes in other tones in training, as do the tones. All other pictures are in training only.

    Raises:
      InputError: CLDR has no names of emoji in a language.
    """
    texts = {language: names(cldr, language) for language in languages}
    folder = target / "emoji"
    (folder / "images").mkdir(parents=True)
    images = []
    for characters, png in pictures(font, names(cldr, "en")):
        name = "-".join(f"{ord(one):x}" for one in characters) + ".png"
        (folder / "images" / name).write_bytes(png)
        raw = [f"<{language}> {own[characters]}" for language, own in texts.items() if characters in own]
        sentences = [{"raw": text} for text in raw]
        if sentences:
            images.append({"filename": name, "split": part(characters), "sentences": sentences})
    (folder / "captions.json").write_text(
        json.dumps({"images": images}, ensure_ascii=False), encoding="utf-8"
    )
    return len(images)


def pictures(package: Path, known: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Yields the characters of each known emoji that the font has as one picture, and its PNG."""
    from fontTools.ttLib import TTFont

    font: Any = TTFont(package / "usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
    glyphs, strike = font.getBestCmap(), font["CBDT"].strikeData[0]
    joined = {
        (first, *ligature.Component): ligature.LigGlyph
        for lookup in font["GSUB"].table.LookupList.Lookup
        if lookup.LookupType == 4
        for table in lookup.SubTable
        for first, ligatures in table.ligatures.items()
        for ligature in ligatures
    }
    for characters in known:
        parts = tuple(glyphs.get(ord(one)) for one in characters if one != VARIATION)
        glyph = parts[0] if len(parts) == 1 else joined.get(parts)
        if glyph in strike:
            yield characters, strike[glyph].imageData


def names(package: Path, language: str) -> dict[str, str]:
    """Returns the name of each emoji in a language. Raises InputError for a language that CLDR lacks."""
    found = {}
    folder = package / "usr/share/unicode/cldr/common"
    for kind in ("annotations", "annotationsDerived"):
        file = folder / kind / f"{language}.xml"
        if not file.is_file():
            raise InputError(f"--languages has {language!r}: CLDR has no names of emoji in it")
        for entry in ElementTree.parse(file).iter("annotation"):
            if entry.get("type") == "tts" and entry.text:
                found[entry.get("cp", "")] = entry.text
    return found


def part(characters: str) -> str:
    """Returns the part of an emoji, by a hash of what it shows and of its tones."""
    tones = [one for one in characters if ord(one) in TONES]
    if not tones or len(characters) == 1:
        return "train"
    return TENTHS.get(int(hashlib.sha256(characters.encode()).hexdigest(), 16) % 10, "train")
