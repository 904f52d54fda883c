"""Writes Noto's colour emoji with their CLDR names in several languages, for `attnjax run captioning`.

    python scripts/emoji.py                # en de es fr sw; prints the command that trains on them
    python scripts/emoji.py en tr hi       # others of CLDR's languages

Each name begins with its language as a tag ("<de> …"). Of the pictures in several skin tones a tenth of the
combinations of what they show and a tone is kept for the test, and a tenth for validation: what they show
comes in other tones in training, as do the tones. All other pictures are in training only.

The font (OFL-1.1) and the names (Unicode licence) are fetched once, as Debian packages, into the cache of
scripts/corpora.py. It needs fonttools, which comes with matplotlib.
"""

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from package_files import CACHE, debian

LANGUAGES = ("en", "de", "es", "fr", "sw")
TONES = range(0x1F3FB, 0x1F400)
VARIATION = "\ufe0f"
"""A character that asks for colour; the font knows sequences without it."""
TENTHS = {0: "test", 1: "val"}


def pictures() -> Iterator[tuple[str, bytes]]:
    """The characters of each emoji that the font has as one picture, and its PNG."""
    from fontTools.ttLib import TTFont

    font: Any = TTFont(debian("fonts-noto-color-emoji") / "usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
    glyphs, strike = font.getBestCmap(), font["CBDT"].strikeData[0]
    joined = {
        (first, *ligature.Component): ligature.LigGlyph
        for lookup in font["GSUB"].table.LookupList.Lookup
        if lookup.LookupType == 4
        for table in lookup.SubTable
        for first, ligatures in table.ligatures.items()
        for ligature in ligatures
    }
    for characters in names("en"):
        parts = tuple(glyphs.get(ord(one)) for one in characters if one != VARIATION)
        glyph = parts[0] if len(parts) == 1 else joined.get(parts)
        if glyph in strike:
            yield characters, strike[glyph].imageData


def names(language: str) -> dict[str, str]:
    """The name of each emoji in a language. Raises RuntimeError for a language that CLDR lacks."""
    found = {}
    folder = debian("unicode-cldr-core") / "usr/share/unicode/cldr/common"
    for kind in ("annotations", "annotationsDerived"):
        file = folder / kind / f"{language}.xml"
        if not file.is_file():
            raise RuntimeError(f"{language}: CLDR has no names of emoji in it")
        for entry in ElementTree.parse(file).iter("annotation"):
            if entry.get("type") == "tts" and entry.text:
                found[entry.get("cp", "")] = entry.text
    return found


def part(characters: str) -> str:
    """The part of an emoji, by a hash of what it shows and of its tones."""
    tones = [one for one in characters if ord(one) in TONES]
    if not tones or len(characters) == 1:
        return "train"
    return TENTHS.get(int(hashlib.sha256(characters.encode()).hexdigest(), 16) % 10, "train")


def written(languages: list[str]) -> tuple[Path, Path, int]:
    """The file of captions, the folder of images, and their number."""
    texts = {language: names(language) for language in languages}
    folder = CACHE / "emoji"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "images").mkdir(parents=True)
    images = []
    for characters, png in pictures():
        name = "-".join(f"{ord(one):x}" for one in characters) + ".png"
        (folder / "images" / name).write_bytes(png)
        raw = [f"<{language}> {own[characters]}" for language, own in texts.items() if characters in own]
        sentences = [{"raw": text} for text in raw]
        if sentences:
            images.append({"filename": name, "split": part(characters), "sentences": sentences})
    file = folder / "captions.json"
    file.write_text(json.dumps({"images": images}, ensure_ascii=False), encoding="utf-8")
    return file, folder / "images", len(images)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("languages", metavar="LANGUAGE", nargs="*", help=f"default: {' '.join(LANGUAGES)}")
    languages = parser.parse_args().languages or list(LANGUAGES)
    try:
        captions, images, count = written(languages)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{count} pictures with names in {', '.join(languages)}")
    print(f"attnjax run emoji --data.captions {captions} --data.images {images}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
