"""Documents on the disk and in rows: parts by file, order by seed and step, one line for each bad input."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.text import documents as documents_module
from attnjax.data.text.documents import document_parts, of_bytes, of_tokens
from attnjax.data.text.documents_config import DocumentsData
from attnjax.data.text.packed import Packed, shuffled
from attnjax.data.text.tokenizer import PretrainedTokenizer, Tokenizer

MARK = 256


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Of 1, 7, 20 and 3 bytes, no byte of which stands in two places."""
    numbers = iter(range(256))
    made = []
    for i, size in enumerate((1, 7, 20, 3)):
        made.append(tmp_path / f"{i}.txt")
        made[-1].write_bytes(bytes(next(numbers) for _ in range(size)))
    return made


def test_an_epoch_has_every_token_once_with_its_document_and_what_follows_it(files: list[Path]) -> None:
    packed = Packed(of_bytes(files), 5, batch_size=1, seed=3, mark=MARK)
    assert packed.rows == 6
    home = {byte: i for i, file in enumerate(files) for byte in file.read_bytes()}
    for epoch in (0, 1):
        rows = [packed[step] for step in range(epoch * 6, epoch * 6 + 6)]
        tokens = np.concatenate([row["tokens"][0] for row in rows])
        seen = [token for token in tokens.tolist() if token != MARK]
        assert len(seen) == len(set(seen))
        assert len(tokens) == 30
        for row in rows:
            (own,), (answers,), (segments,) = row["tokens"], row["answers"], row["segments"]
            np.testing.assert_array_equal(own[1:], answers[:-1])
            for i in range(5):
                # A mark begins a document; a byte goes on with the next one, or ends the document.
                assert segments[i] == (0 if i == 0 else segments[i - 1] + (own[i] == MARK))
                if own[i] != MARK:
                    ended = own[i] == files[home[own[i]]].read_bytes()[-1]
                    assert answers[i] == (MARK if ended else own[i] + 1)
    first, again = packed[4], Packed(of_bytes(files), 5, batch_size=1, seed=3, mark=MARK)[4]
    np.testing.assert_array_equal(first["tokens"], again["tokens"])
    both = [np.concatenate([Packed(of_bytes(files), 5, seed=s, mark=MARK)[i]["tokens"] for i in range(6)])
            for s in (3, 4)]  # fmt: skip
    assert not np.array_equal(*both)
    double = Packed(of_bytes(files), 5, batch_size=2, seed=3, mark=MARK)[2]["tokens"]
    np.testing.assert_array_equal(double, [packed[4]["tokens"][0], packed[5]["tokens"][0]])


@pytest.mark.parametrize("count", [1, 2, 16, 17, 1000])
def test_a_shuffle_without_a_table_is_one(count: int) -> None:
    keys = np.random.default_rng(1).integers(0, 2**63, 4, dtype=np.uint64)
    found = shuffled(np.arange(count), count, keys)
    assert sorted(found.tolist()) == list(range(count))
    if count == 1000:
        assert abs(np.corrcoef(np.arange(count), found)[0, 1]) < 0.1
        assert (found != shuffled(np.arange(count), count, keys + np.uint64(1))).mean() > 0.9


def test_tokens_are_made_once_and_read_from_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    texts = ["abc cab", "b", "cc abab"]
    for i, text in enumerate(texts):
        (tmp_path / f"{i}.txt").write_text(text)
    files = [tmp_path / f"{i}.txt" for i in range(3)]
    Tokenizer.train(texts, "characters").save(tmp_path / "tokenizer.json")
    tokenizer = PretrainedTokenizer(tmp_path / "tokenizer.json")
    of_tokens(files, tokenizer, "x")
    monkeypatch.setattr(PretrainedTokenizer, "encode", None)
    documents = of_tokens(files, tokenizer, "x")
    assert (documents.sizes.tolist(), documents.bytes) == ([7, 1, 7], 15)
    assert tokenizer.decode(documents.read(2, 3, 7).tolist()) == "abab"


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("one\ntwo\nthree four\n\nfive", ["one\ntwo\n", "three ", "four\n\n", "five"]),
        ("aaaaaaaaaaaaaaaaaaa", None),
        ("ääääääääää äää\nä€𝄞€𝄞€𝄞€𝄞", None),
        ("12345678", ["1234567", "8"]),
    ],
)
def test_a_long_document_is_read_in_pieces_that_begin_with_lines_or_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, pieces: list[str] | None
) -> None:
    monkeypatch.setattr(documents_module, "PIECE_BYTES", 8)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "long.txt"
    file.write_text(text, encoding="utf-8")
    found = list(documents_module._pieces(file))
    assert "".join(found) == text
    assert len(found) > 1
    assert max(len(piece.encode()) for piece in found) <= 16
    assert pieces is None or [piece for piece in found if piece] == pieces
    Tokenizer.train([text], "characters").save(tmp_path / "tokenizer.json")
    tokenizer = PretrainedTokenizer(tmp_path / "tokenizer.json")
    documents = of_tokens([file], tokenizer, "x")
    assert documents.read(0, 0, len(text)).tolist() == tokenizer.encode(text, special=False)


def test_what_is_no_utf8_in_a_later_piece_is_named_by_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents_module, "PIECE_BYTES", 8)
    (tmp_path / "a.txt").write_bytes(b"fine\n" * 5 + b"b\xffd\n" + b"fine\n" * 5)
    with pytest.raises(InputError, match=r"a\.txt:6: not UTF-8 \(byte 0xff\)"):
        list(documents_module._pieces(tmp_path / "a.txt"))


def test_no_page_of_a_document_stays_in_memory(files: list[Path]) -> None:
    documents = of_bytes(files)
    assert documents.read(2, 0, 20).tolist() == list(files[2].read_bytes())
    maps = Path("/proc/self/maps")
    if maps.is_file():
        assert str(files[2]) not in maps.read_text()
    files[2].write_bytes(b"short")
    with pytest.raises(InputError, match=r"2\.txt has changed while it was read: it is shorter"):
        documents.read(2, 0, 20)


def test_parts_share_no_file_and_the_library_has_its_own(tmp_path: Path) -> None:
    for i in range(12):
        (tmp_path / f"{i}.txt").write_text("text")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "other.md").write_text("text")
    data = DocumentsData(train=(tmp_path,), suffixes=(".txt",), holdout=0.25)
    parts = document_parts(data)
    assert [len(own) for own in parts.values()] == [6, 3, 3]
    assert len({file for own in parts.values() for file in own}) == 12
    assert document_parts(data) == parts
    library = document_parts(DocumentsData())
    assert all(len(own) > 5 for own in library.values())
    assert not set(library["train"]) & set(library["test"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": ("gone.txt",)}, "data.train: there is no file {here}/gone.txt"),
        ({"train": ("empty.txt",)}, "data.train: {here}/empty.txt: the file is empty"),
        ({"train": ("a.txt",)}, "data.train has 1 file(s): too few to hold out validation and test"),
        ({"train": (".",), "suffixes": (".py",)}, "has no file with text whose name ends in .py"),
        ({"train": ("a.txt",), "validation": ("a.txt",), "test": ("b.txt",)}, "a.txt is in data.train and"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    for name, text in {"a.txt": "a", "b.txt": "b", "empty.txt": ""}.items():
        (tmp_path / name).write_text(text)
    paths = {
        name: tuple(tmp_path / path for path in value) if name != "suffixes" else value
        for name, value in changes.items()
    }
    with pytest.raises(InputError) as caught:
        document_parts(DocumentsData(**paths))
    assert message.format(here=tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_no_tokenizer_reads_is_named_by_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"fine\nfine\nb\xffd")
    Tokenizer.train(["fine"], "characters").save(tmp_path / "tokenizer.json")
    tokenizer = PretrainedTokenizer(tmp_path / "tokenizer.json")
    with pytest.raises(InputError, match=r"a\.txt:3: not UTF-8 \(byte 0xff\)"):
        of_tokens([tmp_path / "a.txt"], tokenizer, str(tmp_path))
    with pytest.raises(InputError, match="a row needs 51 tokens, and the 1 document"):
        Packed(of_bytes([tmp_path / "a.txt"]), 50, mark=MARK)
