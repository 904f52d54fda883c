"""Texts and their translations: messages of programs, names, and LibreOffice's help."""

import hashlib
import json
import re
from html import unescape
from pathlib import Path

from attnjax.data.fetch.pairs import Pair, cleaned, distinct, write_pairs
from attnjax.data.text.catalogs import messages

WORDS = range(4, 31)
"""The words of an English paragraph of LibreOffice's help."""
MODULES = {"smath", "schart"}
"""Modules of the help, which are for a test."""
LANGUAGES = ("cs", "de", "es", "fr", "it", "ja", "ko", "pl", "pt-br", "ru", "tr", "zh-cn", "zh-tw")
TWENTIETHS = {0: "validation", 1: "test", 2: "test"}


def coreutils(target: Path, package: Path) -> int:
    """Writes the messages of coreutils, English and German."""
    catalog = package / "usr/share/locale/de/LC_MESSAGES/coreutils.mo"
    return write_pairs(target / "coreutils.tsv", catalog_pairs(catalog))


def languages(target: Path, package: Path) -> int:
    """Writes names of languages (ISO 639-3), English and Hungarian."""
    catalog = package / "pycountry/locales/hu/LC_MESSAGES/iso639-3.mo"
    return write_pairs(target / "languages.tsv", catalog_pairs(catalog))


def catalog_pairs(file: Path) -> list[Pair]:
    """Returns the messages of a gettext catalog, each plural form by itself."""
    return distinct((message, translation) for _, message, translation in messages(file))


def territories(target: Path) -> int:
    """Writes names of territories (CLDR, through Babel) in all languages, and the English ones."""
    from attnjax.data.text.date_formats import territory_names

    return write_pairs(target / "territories.tsv", distinct(territory_names()))


def libreoffice(target: Path, english: Path, german: Path) -> int:
    """Writes paragraphs of 4 to 30 words of LibreOffice's help, English and German."""
    sources, targets = paragraphs(english, "en-US"), paragraphs(german, "de")
    pairs = (
        (text, targets[place])
        for place, text in sources.items()
        if place in targets and len(text.split()) in WORDS
    )
    return write_pairs(target / "libreoffice.tsv", distinct(pairs))


def paragraphs(package: Path, language: str) -> dict[tuple[str, str], str]:
    """Returns the text of each paragraph of LibreOffice's help, by file and id."""
    folder = package / "usr/share/libreoffice/help" / language / "text"
    found = {}
    for file in sorted(folder.rglob("*.html")):
        page = file.read_text(encoding="utf-8")
        for identifier, text in re.findall(r'<p id="(par_id[^"]*)"[^>]*>(.*?)</p>', page, re.DOTALL):
            place = str(file.relative_to(folder)), identifier
            found[place] = unescape(re.sub(r"<[^>]*>", "", text))
    return found


def help_texts(target: Path, english: Path, german: Path) -> int:
    """Writes the paragraphs of LibreOffice's help in parts for training and for tests.

    Of the files of most modules a twentieth is held out for validation.tsv and two for files.tsv; the modules
    smath and schart are in modules.tsv alone. No English paragraph is in two parts.
    """
    translated = paragraphs(german, "de")
    parts: dict[str, dict[Pair, None]] = {name: {} for name in ("modules", "files", "validation", "train")}
    for (file, identifier), text in paragraphs(english, "en-US").items():
        pair = source, translation = cleaned(text), cleaned(translated.get((file, identifier), ""))
        if not translation or source == translation or len(source.split()) not in WORDS:
            continue
        part = {"test": "files"}.get(name := twentieth(file), name)
        parts["modules" if set(Path(file).parts) & MODULES else part][pair] = None
    taken: set[str] = set()
    own = {}
    for name, pairs in parts.items():
        own[name] = [pair for pair in pairs if pair[0] not in taken]
        taken |= {source for source, _ in pairs}
    return write_parts(target / "help_texts", own)


def many_languages(target: Path, package: Path) -> int:
    """Writes the messages of TypeScript's compiler, a file of training for each of thirteen languages.

    All languages have the same messages in validation.tsv and in their tests.
    """
    code = (package / "lib" / "typescript.js").read_text(encoding="utf-8")
    found = re.findall(r'\bdiag\(\d+, \d+ /\* \w+ \*/, ("(?:[^"\\]|\\.)*"), ("(?:[^"\\]|\\.)*")', code)
    english = {json.loads(key): cleaned(json.loads(text)) for key, text in found}
    parts: dict[str, list[Pair]] = {}
    for tag in LANGUAGES:
        file = package / "lib" / tag / "diagnosticMessages.generated.json"
        translated = json.loads(file.read_text(encoding="utf-8"))
        pairs: dict[str, str] = {}
        for key, source in english.items():
            pairs.setdefault(source, cleaned(translated.get(key, "")))
        for source, translation in pairs.items():
            if not translation or source == translation:
                continue
            if (part := twentieth(source)) == "train":
                parts.setdefault(tag, []).append((source, translation))
            else:
                name = "validation" if part == "validation" else f"test_{tag}"
                parts.setdefault(name, []).append((f"<2{tag}> {source}", translation))
    return write_parts(target / "many_languages", parts)


def twentieth(text: str) -> str:
    """Returns the part that a text is of, by its hash."""
    return TWENTIETHS.get(int(hashlib.sha256(text.encode()).hexdigest(), 16) % 20, "train")


def write_parts(folder: Path, parts: dict[str, list[Pair]]) -> int:
    """Writes a file for each part into a new folder, and returns the number of all pairs."""
    folder.mkdir()
    return sum(write_pairs(folder / f"{name}.tsv", pairs) for name, pairs in parts.items())
