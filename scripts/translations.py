"""Writes texts in pairs, in parts for training and for tests, for the experiments that translate real texts.

    python scripts/translations.py help_texts        # for `attnjax run help_texts`
    python scripts/translations.py many_languages    # for `attnjax run many_languages`

help_texts is LibreOffice's help, English and German (MPL-2.0): paragraphs of 4 to 30 words. Of the files of
most modules a twentieth is held out for validation.tsv and two for files.tsv; the modules smath and schart
are in modules.tsv alone. No English paragraph is in two parts.

many_languages is what the compiler of TypeScript says, in thirteen languages (Apache-2.0), fetched with npm:
a file of training for each. All languages have the same messages in validation.tsv and in their tests.

Both lie in the user's cache, in folders of these names. See scripts/corpora.py on what is fetched.
"""

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from corpora import WORDS, Pair, paragraphs
from package_files import CACHE, fetched

MODULES = {"smath", "schart"}
"""Of the help; they are for a test."""
LANGUAGES = ("cs", "de", "es", "fr", "it", "ja", "ko", "pl", "pt-br", "ru", "tr", "zh-cn", "zh-tw")
TWENTIETHS = {0: "validation", 1: "test", 2: "test"}


def help_texts() -> list[tuple[Path, int]]:
    """The files of the help."""
    english, german = (paragraphs(language) for language in (("en-us", "en-US"), ("de", "de")))
    parts: dict[str, dict[Pair, None]] = {name: {} for name in ("modules", "files", "validation", "train")}
    for (file, identifier), text in english.items():
        source, target = cleaned(text), cleaned(german.get((file, identifier), ""))
        if not target or source == target or len(source.split()) not in WORDS:
            continue
        part = {"test": "files"}.get(name := twentieth(file), name)
        if set(Path(file).parts) & MODULES:
            part = "modules"
        parts[part][source, target] = None
    taken: set[str] = set()
    written = []
    for name, pairs in parts.items():
        own = [(source, target) for source, target in pairs if source not in taken]
        taken |= {source for source, _ in pairs}
        written.append(written_pairs("help_texts", name, own))
    return written


def many_languages() -> list[tuple[Path, int]]:
    """The files of TypeScript's messages."""
    npm = "npm pack --silent typescript@5.9.3"
    root = fetched("typescript@5.9.3", npm, "tar xzf typescript-*.tgz --strip-components=1") / "lib"
    code = (root / "typescript.js").read_text(encoding="utf-8")
    found = re.findall(r'\bdiag\(\d+, \d+ /\* \w+ \*/, ("(?:[^"\\]|\\.)*"), ("(?:[^"\\]|\\.)*")', code)
    english = {json.loads(key): cleaned(json.loads(text)) for key, text in found}
    parts: dict[str, list[Pair]] = {"validation": []}
    for tag in LANGUAGES:
        file = root / tag / "diagnosticMessages.generated.json"
        translated = json.loads(file.read_text(encoding="utf-8"))
        pairs: dict[str, str] = {}
        for key, source in english.items():
            pairs.setdefault(source, cleaned(translated.get(key, "")))
        for source, target in pairs.items():
            if not target or source == target:
                continue
            part = twentieth(source)
            if part == "train":
                parts.setdefault(tag, []).append((source, target))
            else:
                name = "validation" if part == "validation" else f"test_{tag}"
                parts.setdefault(name, []).append((f"<2{tag}> {source}", target))
    return [written_pairs("many_languages", name, pairs) for name, pairs in sorted(parts.items())]


def twentieth(text: str) -> str:
    """The part that a text is of, by its hash."""
    return TWENTIETHS.get(int(hashlib.sha256(text.encode()).hexdigest(), 16) % 20, "train")


def cleaned(text: str) -> str:
    """A text with spaces and line ends as one space."""
    return " ".join(text.split())


def written_pairs(folder: str, name: str, pairs: Iterable[Pair]) -> tuple[Path, int]:
    """The TSV file of pairs, and their number."""
    file = CACHE / folder / f"{name}.tsv"
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{source}\t{target}\n" for source, target in pairs]
    file.write_text("".join(lines), encoding="utf-8")
    return file, len(lines)


MADE: dict[str, Callable[[], list[tuple[Path, int]]]] = {
    made.__name__: made for made in (help_texts, many_languages)
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"of {', '.join(MADE)} (default: both)")
    names = parser.parse_args().names or list(MADE)
    if unknown := set(names) - MADE.keys():
        parser.error(f"{', '.join(sorted(unknown))}: choose from {', '.join(MADE)}")
    for name in names:
        try:
            for file, count in MADE[name]():
                print(f"{count:>6} lines  {file}", flush=True)
        except RuntimeError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
