"""A user's parallel corpus: pairs of texts, by the form of their files. Errors name file and line.

The forms: a TSV file, two files whose lines correspond, a translation memory (.tmx), a catalog of messages
(.po, .mo); each of them plain, or packed with gzip (.gz).
"""

import itertools
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from attnjax.config import InputError, require
from attnjax.data.text.catalogs import messages
from attnjax.data.text.example import Example
from attnjax.data.text.lines import decoded, lines_of
from attnjax.data.text.tmx import in_language, units

Languages = tuple[str | None, str | None]
"""Those of the sources and of the targets, as a translation memory names them."""


def read_parallel_text(
    source: Path, target: Path | None = None, *, group: str, languages: Languages = (None, None)
) -> tuple[list[Example], list[str]]:
    """Reads all pairs of `parallel_text`.

    Returns:
      The examples, and "file:line: why" for every line that is none.

    Raises:
      InputError: as `parallel_text`.
    """
    examples, malformed = [], []
    for found in parallel_text(source, target, group=group, languages=languages):
        if isinstance(found, str):
            malformed.append(found)
        else:
            examples.append(found)
    return examples, malformed


def parallel_text(
    source: Path, target: Path | None = None, *, group: str, languages: Languages = (None, None)
) -> Iterator[Example | str]:
    """Yields the pairs of a corpus as they come, and "file:line: why" in the place of what is none.

    Texts are stripped and put into Unicode's composed form (NFC). Every example gets the given group. What is
    none: text that is not UTF-8, another number of columns than two, an empty side, a unit that lacks one of
    the languages.

    Args:
      source: a TSV file (source<TAB>target), the source side of two line-aligned UTF-8 files, or a .tmx, .po
        or .mo file; packed with gzip where its name ends in .gz.
      target: the target side of two line-aligned files.
      group: of all examples.
      languages: of a translation memory.

    Raises:
      InputError: a missing or empty file, files of different lengths, a memory without languages.
    """
    form = source.with_suffix("").suffix if source.suffix == ".gz" else source.suffix
    if form in (".tmx", ".po", ".mo"):
        require(target is None, f"{target}: {source} has both sides, expected no file of targets")
        pairs = _memory(source, languages) if form == ".tmx" else _catalog(source)
    else:
        pairs = _table([source] if target is None else [source, target])
    for raw in pairs:
        try:
            if isinstance(raw, str):
                yield raw
                continue
            number, texts = raw
            places = [f"{file}:{number}" for file in (source, target) if file is not None]
            yield Example(*_pair(texts, places), group, places[0])
        except InputError as error:
            yield str(error)


Raw = tuple[int, Sequence[bytes | str]] | str
"""The number of a line and its columns, or texts; or why it has none."""


def _table(files: Sequence[Path]) -> Iterator[Raw]:
    columns = [lines_of(file) for file in files]
    for number, lines in enumerate(itertools.zip_longest(*columns), 1):
        if None in lines:
            counts = [number - 1 if line is None else number for line in lines]
            counts = [count + sum(1 for _ in rest) for count, rest in zip(counts, columns, strict=True)]
            raise _other_lengths(files[0], files[1], counts[0], counts[1])
        yield number, lines


def _memory(path: Path, languages: Languages) -> Iterator[Raw]:
    seen: dict[str, None] = {}
    usable = False
    for line, segments in units(path):
        source, target = languages
        if source is None or target is None:
            found = ", ".join(segments) or "nothing"
            advice = "give data.source_language and data.target_language"
            raise InputError(f"{path}: a translation memory, whose first unit has {found}: {advice}")
        seen |= dict.fromkeys(segments)
        one, other = (in_language(segments, language) for language in (source, target))
        if one is None or other is None:
            yield f"{path}:{line}: no text in {target if other is None else source!r}"
        else:
            usable = True
            yield line, (one, other)
    wanted = f"{languages[0]!r} and in {languages[1]!r}"
    require(usable, f"{path}: no unit has texts in {wanted}; there is {', '.join(seen) or 'nothing'}")


def _catalog(path: Path) -> Iterator[Raw]:
    found = False
    for place, one, other in messages(path):
        found = True
        yield place, (one, other)
    require(found, f"{path}: no message is translated")


def _other_lengths(source: Path, target: Path, sources: int, targets: int) -> InputError:
    shorter, longer = (source, target) if sources < targets else (target, source)
    count = min(sources, targets)
    return InputError(
        f"{longer}:{count + 1}: no such line in {shorter}, which ends after line {count}: "
        f"line-aligned files need equally many lines ({sources} and {targets} came)"
    )


def _pair(raw: Sequence[bytes | str], places: Sequence[str]) -> tuple[str, str]:
    """Returns the texts of one line of a TSV file, or of one line of each of two files."""
    last = len(places) - 1
    texts = [_text(text, places[min(i, last)]) for i, text in enumerate(raw)]
    if len(texts) == 1:
        texts = texts[0].split("\t")
        count = len(texts)
        require(count == 2, f"{places[0]}: {count} tab-separated column(s), expected 2 (source<TAB>target)")
    source, target = map(str.strip, texts)
    require(source != "", f"{places[0]}: the source text is empty")
    require(target != "", f"{places[-1]}: the target text is empty")
    return source, target


def _text(raw: bytes | str, place: str) -> str:
    return decoded(raw, place) if isinstance(raw, bytes) else unicodedata.normalize("NFC", raw)
