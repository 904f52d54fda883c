"""Corpora in other forms than lines: packed files, translation memories, catalogs of messages."""

import gzip
import io
import re

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from attnjax.config import InputError
from attnjax.data.text.config import TranslationData
from attnjax.data.text.parallel_text import read_parallel_text
from attnjax.data.text.splits import translation_splits

MEMORY = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header srclang="en"/><body>
<tu><tuv xml:lang="EN-us"><seg>one <bpt i="1">&lt;b></bpt>two</seg></tuv>
    <tuv xml:lang="de-AT"><seg>eins
       <hi>zwei</hi></seg></tuv><tuv xml:lang="de"><seg>nein</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>only</seg></tuv></tu>
<tu><tuv lang="en"><seg>&amp; so</seg></tuv><tuv lang="de"><seg>&amp; so weiter</seg></tuv></tu>
</body></tmx>"""


def texts(path, target=None, languages=(None, None)):
    examples, malformed = read_parallel_text(path, target, group="train", languages=languages)
    return [(e.source, e.target) for e in examples], malformed


def written(path, text):
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def test_packed_files_are_read_as_plain_ones(tmp_path):
    table = written(tmp_path / "a.tsv.gz", b"\xef\xbb\xbfeins\tone\n")
    assert texts(table) == ([("eins", "one")], [])
    sides = [written(tmp_path / f"a.{name}.gz", text) for name, text in (("de", b"eins\n"), ("en", b"one"))]
    assert texts(*sides) == ([("eins", "one")], [])
    memory = written(tmp_path / "a.tmx.gz", MEMORY.encode())
    assert len(texts(memory, languages=("en", "de"))[0]) == 2
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"eins\tone\n" * 1000)[:-9])
    (tmp_path / "none.gz").write_bytes(b"eins\tone\n")
    (tmp_path / "broken.tmx.gz").write_bytes(gzip.compress(MEMORY.encode())[:20] + b"?" * 20)
    with pytest.raises(InputError, match=r"broken\.tmx\.gz: cannot be read"):
        texts(tmp_path / "broken.tmx.gz", languages=("en", "de"))
    for name in ("cut.gz", "none.gz"):
        with pytest.raises(InputError, match=f"{name}: cannot be read"):
            texts(tmp_path / name)


def test_files_of_very_different_lengths_are_counted_to_their_ends(tmp_path):
    long, short = written(tmp_path / "a", b"x\n" * 70), written(tmp_path / "b", b"y\n" * 3)
    with pytest.raises(InputError, match=re.escape(f"{long}:4: no such line in {short}")) as raised:
        texts(long, short)
    assert str(raised.value).endswith("(70 and 3 came)")
    with pytest.raises(InputError, match=r"\(3 and 70 came\)"):
        texts(short, long)


def test_a_memory_gives_the_first_segments_of_two_languages_without_codes(tmp_path):
    memory = written(tmp_path / "m.tmx", MEMORY.encode())
    pairs, malformed = texts(memory, languages=("en", "de"))
    assert pairs == [("one two", "eins zwei"), ("& so", "& so weiter")]
    assert malformed == [f"{memory}:7: no text in 'de'"]
    assert texts(memory, languages=("DE-at", "en"))[0] == [("eins zwei", "one two")]


def test_a_memory_in_another_encoding_is_read_by_its_declaration(tmp_path):
    text = MEMORY.replace("UTF-8", "UTF-16").replace("eins", "größer")
    memory = written(tmp_path / "m.tmx", text.encode("utf-16"))
    assert texts(memory, languages=("en", "de"))[0][0][1] == "größer zwei"


@pytest.mark.parametrize(
    ("text", "languages", "message"),
    [
        (MEMORY, (None, None), "whose first unit has en-us, de-at, de: give data.source_language"),
        (MEMORY, ("en", "fr"), "no unit has texts in 'en' and in 'fr'; there is en-us, de-at, de, en"),
        (MEMORY.replace("</body>", ""), ("en", "de"), "m.tmx:9: not XML (mismatched tag)"),
        (MEMORY.replace("tmx version", "xml version"), ("en", "de"), "m.tmx:3: <xml>, expected <tmx>"),
        (
            MEMORY.replace('"tmx14.dtd"', '"tmx14.dtd" [<!ENTITY a "aaaa">]'),
            ("en", "de"),
            "m.tmx:2: it declares a DTD of its own, which is not read",
        ),
        (MEMORY.replace("&amp;", "&x;"), ("en", "de"), "m.tmx:8: the entity &x; is declared elsewhere"),
        ("", ("en", "de"), "not XML (no element found)"),
    ],
)
def test_what_is_no_memory_is_one_line(tmp_path, text, languages, message):
    memory = written(tmp_path / "m.tmx", text.encode())
    with pytest.raises(InputError, match=re.escape(message)) as raised:
        texts(memory, languages=languages)
    assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match="has both sides"):
        texts(memory, memory)


@pytest.fixture
def catalog():
    catalog = Catalog(locale="de", charset="iso-8859-1")
    catalog.add("a month", "ein Monat", context="time")
    catalog.add(("%d file", "%d files"), ("%d Datei", "%d Dateien"))
    catalog.add('a "quote"\nand more', 'ein "Zitat"\nund über mehr')
    catalog.add("a\x85line", "eine\x85Zeile")  # What ends lines for Python alone.
    catalog.add("nothing", "")
    catalog.add("perhaps", "vielleicht", flags=["fuzzy"])
    catalog.obsolete["gone"] = catalog.add("gone", "fort")
    catalog.delete("gone")
    return catalog


PAIRS = [
    ("a month", "ein Monat"),
    ("a line", "eine Zeile"),
    ("%d file", "%d Datei"),
    ("%d files", "%d Dateien"),
    ('a "quote" and more', 'ein "Zitat" und über mehr'),
]


@pytest.mark.parametrize("write", [write_po, write_mo])
def test_a_catalog_gives_its_translated_messages(tmp_path, catalog, write):
    text = io.BytesIO()
    write(text, catalog)
    if write is write_mo:
        catalog.charset = "utf-8"
        text = io.BytesIO()
        write(text, catalog)
    path = written(tmp_path / f"de.{write.__name__[-2:]}", text.getvalue())
    pairs, malformed = texts(path)
    assert (sorted(pairs), malformed) == (sorted(PAIRS), [])
    if write is write_po:  # Babel reads the same from what it wrote.
        read = read_po(io.BytesIO(text.getvalue()))
        peers = {m.id: m.string for m in read if m.id and m.string and not m.fuzzy}
        assert {p: t for p, t in pairs if p == "a month"} == {"a month": peers["a month"]}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.po", b'msgid "x"\nmsgstr "y\n', "a.po:2: 'msgstr \"y', expected msgid, msgstr or a text"),
        ("a.po", b'"x"\n', "a.po:1: a text without msgid or msgstr before it"),
        ("a.po", b'msgid "x"\nmsgstr ""\n', "a.po: no message is translated"),
        ("a.po", b'msgid ""\nmsgstr "charset=utf-8"\nmsgid "\xff"', "a.po: not in its charset, utf-8"),
        ("a.mo", b"msgid", "a.mo: not a catalog (.mo)"),
        ("a.mo", b"\xde\x12\x04\x95\0\0\0\0\7\0\0\0", "a.mo: not a catalog"),
    ],
)
def test_what_is_no_catalog_is_one_line(tmp_path, name, text, message):
    with pytest.raises(InputError, match=re.escape(message)):
        texts(written(tmp_path / name, text))


def test_corpora_get_their_tags_and_prefixes_before_they_are_split(tmp_path):
    corpora = [
        written(tmp_path / name, b"".join(b"%d\t%s\n" % (i, name[:1].encode()) for i in range(20)))
        for name in ("de.tsv", "fr.tsv")
    ]
    data = TranslationData(
        train=corpora[0], more=(corpora[1],), tags=("<2de>", "<2fr>"), prefixes=("", "say: "), holdout=0.1
    )
    parts, _ = translation_splits(data)
    found = {example for examples in parts.values() for example in examples}
    assert {e.source.split()[0] for e in found if e.target == "d"} == {"<2de>"}
    assert all(e.source.startswith("<2fr> say: ") for e in found if e.target == "f")
    assert {e.group for e in parts["test"]} <= {str(path) for path in corpora}
    assert len(found) == 40
