"""Given alignments: of dates, whose fields are known, and of lines of word pairs."""

from pathlib import Path

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.text.alignments import Alignments
from attnjax.data.text.config import TranslationData
from attnjax.data.text.corpus import read_corpus
from attnjax.data.text.strings import string_parts
from attnjax.data.text.strings_config import StringsData


def test_each_digit_of_a_date_is_of_all_characters_of_its_field() -> None:
    data = TranslationData(examples=50, evaluation_examples=1, locales=("es", "en"))
    corpus = read_corpus(data)
    examples = corpus.parts["train"]
    found = Alignments(data, examples, corpus.encoder)(examples)
    assert found.shape == (50, corpus.encoder.target_width - 1, corpus.encoder.source_width)
    for example, shares in zip(examples, found, strict=True):
        pieces = corpus.encoder.source.pieces(example.source)
        for field, rows in {"year": range(4), "month": range(5, 7), "day": range(8, 10)}.items():
            (row,) = {tuple(shares[i].tolist()) for i in rows}
            read = "".join(piece for piece, share in zip(pieces, row, strict=False) if share)
            assert sum(row) == pytest.approx(1)
            if field == "year":
                assert example.target[:4].endswith(read)
            elif read.isdecimal():
                start = rows[0]
                assert int(read) == int(example.target[start : start + 2])
        assert not shares[[4, 7, 10]].any()  # The dashes, and the end mark.


def corpus_with(tmp_path: Path, *lines: str) -> Alignments:
    path = tmp_path / "train.tsv"
    path.write_text("".join(f"ein Haus{'e' * i}\ta house{'s' * i} here\n" for i in range(8)))
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("".join(f"{line}\n" for line in lines))
    data = TranslationData(train=path, alignment=pairs, holdout=0.2)
    corpus = read_corpus(data)
    examples = [example for part in corpus.parts.values() for example in part]
    made = Alignments(data, examples, corpus.encoder)
    made.example = next(example for example in examples if example.source == "ein Haus")
    return made


def test_pairs_of_words_are_those_of_their_tokens(tmp_path: Path) -> None:
    made = corpus_with(tmp_path, "0-0 1-1 1-2", *["0-0"] * 7)
    (shares,) = made([made.example])
    expected = np.zeros_like(shares)
    expected[0, :3] = 1 / 3  # a: ein
    expected[2:7, 4:8] = expected[8:12, 4:8] = 1 / 4  # house, here: Haus
    np.testing.assert_allclose(shares, expected)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["0-0", "0:1"] * 4, r"pairs.txt:2: '0:1' is no pair of words, expected as 0-1 1-0 \(i-j\)"),
        (["0-0"] * 7 + ["2-0"], "pairs.txt:8: no word 2, counted from 0, in 'ein Haus"),
        (["0-0"], r"pairs.txt: no line 2, expected one for each line of .*train.tsv \(1 came\)"),
    ],
)
def test_a_bad_line_of_pairs_is_named(tmp_path: Path, lines: list[str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        corpus_with(tmp_path, *lines)


def test_strings_are_turned_round_and_have_their_lengths() -> None:
    data = StringsData(longest=5, beyond=6, examples=40, evaluation_examples=3)
    parts = string_parts(data)
    assert list(parts) == ["train", "validation", "length 2", "length 4", "length 6"]
    assert {len(example.source) for example in parts["train"]} == {2, 3, 4, 5}
    assert {len(example.source) for example in parts["length 6"]} == {6}
    assert all(e.target == "".join(reversed(e.source)) for part in parts.values() for e in part)
    with pytest.raises(InputError, match="expected 1 or more, in this order"):
        StringsData(longest=17)
