"""A user's corpus: what is read, and how every malformed file is named."""

import re

import pytest

from attnjax.config import InputError
from attnjax.data.text.parallel_text import read_parallel_text


def read(tmp_path, source: bytes, target: bytes | None = None):
    (tmp_path / "a").write_bytes(source)
    if target is not None:
        (tmp_path / "b").write_bytes(target)
    return read_parallel_text(tmp_path / "a", None if target is None else tmp_path / "b", group="train")


def pairs(tmp_path, source: bytes, target: bytes | None = None):
    examples, malformed = read(tmp_path, source, target)
    assert malformed == []
    return examples


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_tsv_file_gives_its_pairs(tmp_path, end, mark):
    examples = pairs(tmp_path, mark + end.join([b"eins\tone", "zwei \t cafe\u0301".encode(), b""]))
    assert [(e.source, e.target) for e in examples] == [("eins", "one"), ("zwei", "café")]
    assert [e.place for e in examples] == [f"{tmp_path / 'a'}:1", f"{tmp_path / 'a'}:2"]


def test_line_aligned_files_give_their_pairs(tmp_path):
    examples = pairs(tmp_path, b"eins\nzwei", b"one\ntwo\n")
    assert [(e.source, e.target) for e in examples] == [("eins", "one"), ("zwei", "two")]


def test_a_line_separator_inside_a_line_does_not_end_it(tmp_path):
    examples = pairs(tmp_path, "eins\u2028\x0bzwei\tone".encode())
    assert len(examples) == 1


@pytest.mark.parametrize(
    ("source", "target", "place", "message"),
    [
        (b"eins\tone\nzwei", None, "a:2", "1 tab-separated column(s), expected 2"),
        (b"drei\tthree\neins\tone\textra", None, "a:2", "3 tab-separated column(s), expected 2"),
        (b"eins\tone\n\nzwei\ttwo", None, "a:2", "1 tab-separated column(s)"),
        (b"eins\tone\n\n", None, "a:2", "1 tab-separated column(s)"),
        (b"eins\tone\n\ttwo", None, "a:2", "the source text is empty"),
        (b"eins\tone\nzwei\t ", None, "a:2", "the target text is empty"),
        (b"eins\tone\nzw\xffi\ttwo", None, "a:2", "not UTF-8 (byte 0xff at position 3 of the line)"),
        (b"eins\nzwei", b"one\n \n", "b:2", "the target text is empty"),
        (b"eins\n\nzwei", b"one\ntwo\nthree", "a:2", "the source text is empty"),
        (b"eins\nzwei", b"one\n\xc3", "b:2", "not UTF-8"),
    ],
)
def test_a_malformed_line_is_told_by_file_and_line_and_the_others_are_read(
    tmp_path, source, target, place, message
):
    examples, malformed = read(tmp_path, source, target)
    (text,) = malformed
    assert text.startswith(f"{tmp_path}/{place}: ")
    assert message in text
    numbers = [int(example.place.rpartition(":")[2]) for example in examples]
    assert numbers == [i for i in range(1, len(numbers) + 2) if f":{i}" != place[1:]]


@pytest.mark.parametrize(
    ("source", "target", "place", "message"),
    [
        (b" \n", None, "a", "the file is empty"),
        (b"", None, "a", "the file is empty"),
        (b"eins", b"", "b", "the file is empty"),
        (b"eins\nzwei", b"one\n", "a:2", "which ends after line 1"),
        (b"eins", b"one\ntwo", "b:2", "which ends after line 1"),
    ],
)
def test_files_that_cannot_be_paired_are_refused(tmp_path, source, target, place, message):
    with pytest.raises(InputError, match=re.escape(message)) as raised:
        read(tmp_path, source, target)
    assert str(raised.value).startswith(f"{tmp_path}/{place}: ")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(InputError, match=re.escape(f"{tmp_path / 'no'}: cannot be read (no such file")):
        read_parallel_text(tmp_path / "no", group="train")
    with pytest.raises(InputError, match="cannot be read"):
        read_parallel_text(tmp_path, group="train")
