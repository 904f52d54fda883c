"""Texts to ids and back."""

import functools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnjax.config import InputError
from attnjax.data.text.tokenizer import BOS, EOS, PAD, UNK, Tokenizer

TEXTS = ["<es> 1/2/2003", "2 de mayo de 2003", "三月 5日", " naïve  café "]
KINDS = ("characters", "bpe", "unigram", "byte_level")


@functools.cache
def trained(kind):
    return Tokenizer.train(TEXTS, kind, 300 if kind == "byte_level" else 50, tags=["<es>"])


@pytest.mark.parametrize("kind", KINDS)
def test_encoding_and_decoding_gives_the_text_back(kind):
    tokenizer = trained(kind)
    assert [tokenizer.decode(ids) for ids in tokenizer.encode(TEXTS)] == TEXTS


@given(st.lists(st.text(alphabet="abc é▁\t三2<es>\0\U0001f600", max_size=9)))
def test_characters_are_encoded_as_the_library_does(texts):
    tokenizer = Tokenizer.train(TEXTS, "characters", tags=["<es>", "<es>2", "s"])
    texts = ["<es>2<pad>", *texts]
    expected = [encoding.ids for encoding in tokenizer._inner.encode_batch(texts)]
    assert tokenizer.rows(texts).lists() == expected


@given(st.text(alphabet="abc é▁\t三", max_size=20))
def test_pieces_join_to_the_text(text):
    for kind in KINDS:
        pieces = trained(kind).pieces(text)
        assert "".join(pieces) == unicodedata.normalize("NFC", text)
        assert len(pieces) == len(trained(kind).encode([text])[0])


@pytest.mark.parametrize("kind", KINDS)
def test_the_special_ids_are_0_to_3_and_never_come_from_a_text(kind):
    tokenizer = trained(kind)
    assert tokenizer.names([PAD, BOS, EOS, UNK]) == ["<pad>", "<bos>", "<eos>", "<unk>"]
    ids = tokenizer.encode(["<pad><bos><eos> 1"])[0]
    assert not {PAD, BOS, EOS} & set(ids)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tag_is_one_token_wherever_it_stands(kind):
    tokenizer = trained(kind)
    (tag,) = tokenizer.encode(["<es>"])[0]
    assert tokenizer.encode(["1 <es>2"])[0].count(tag) == 1
    assert tokenizer.names([tag]) == ["<es>"]


@given(st.text(max_size=20))
def test_bytes_know_every_text(text):
    tokenizer = trained("byte_level")
    (ids,) = tokenizer.encode([text])
    assert UNK not in ids
    assert tokenizer.decode(ids) == unicodedata.normalize("NFC", text).replace("\ufdd0", "\ufffd")


@pytest.mark.parametrize("kind", KINDS[:3])
def test_unknown_characters_are_unk_and_keep_their_piece(kind):
    tokenizer = trained(kind)
    assert tokenizer.encode(["1Ж"])[0][-1] == UNK
    assert tokenizer.pieces("1Ж")[-1] == "Ж"


def test_a_decomposed_accent_is_read_as_composed():
    tokenizer = trained("characters")
    assert tokenizer.encode(["cafe\u0301"]) == tokenizer.encode(["café"])


def test_decoding_stops_at_the_end_mark_and_skips_padding():
    tokenizer = trained("characters")
    one, two = tokenizer.encode(["12"])[0]
    assert tokenizer.decode([one, EOS, two, PAD]) == "1"


def test_bpe_learns_the_pieces_asked_for_and_characters_all():
    assert trained("bpe").size == 50  # With the tag.
    assert trained("characters").size == 4 + 1 + len(set("".join(TEXTS)))
    assert len(trained("bpe").encode(["2 de mayo"])[0]) < len("2 de mayo")


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_tokenizer_is_the_saved_one(kind, tmp_path):
    tokenizer = trained(kind)
    tokenizer.save(tmp_path / "t.json")
    loaded = Tokenizer.load(tmp_path / "t.json")
    texts = [*TEXTS, "<eos> ünknown <es>"]
    assert loaded.encode(texts) == tokenizer.encode(texts)
    assert loaded.size == tokenizer.size


def test_a_missing_or_malformed_file_is_named(tmp_path):
    with pytest.raises(InputError, match="no such tokenizer file"):
        Tokenizer.load(tmp_path / "t.json")
    (tmp_path / "t.json").write_text("{}")
    with pytest.raises(InputError, match=r"t.json: not a tokenizer file"):
        Tokenizer.load(tmp_path / "t.json")
