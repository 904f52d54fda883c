"""Text to token ids and back, by characters or pieces. The only file that touches `tokenizers`."""

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from attnjax.config import InputError
from attnjax.data.text.characters import CharacterTable
from attnjax.data.text.config import Kind
from attnjax.data.text.rows import Rows

PAD, BOS, EOS, UNK = range(4)
SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")
MASK = "[MASK]"
MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", MASK)
"""The special tokens of pieces that are learned for an encoder, by their ids."""
NO_CHARACTER = "\ufdd0"
"""A code point that Unicode keeps free of characters for good."""
WORD = re.compile("▁?[^▁]+|▁")
"""A word with the space before it."""


class Tokenizer:
    """A reversible map between texts and lists of ids; ids 0 to 3 are PAD, BOS, EOS and UNK.

    Texts are read in Unicode's composed form (NFC), so that an accent typed as its own character is known.

    >>> tokenizer = Tokenizer.train(["<es> 1/2", "2 mayo"], "characters", tags=["<es>"])
    >>> tokenizer.pieces("<es> 2/1")
    ['<es>', ' ', '2', '/', '1']
    >>> tokenizer.decode(tokenizer.encode(["2 mayo"])[0])
    '2 mayo'
    """

    def __init__(self, inner: tokenizers.Tokenizer):
        inner.encode_special_tokens = True  # "<eos>" in a text is five characters, not the end of it.
        self._inner = inner

    @classmethod
    def train(
        cls, texts: Iterable[str], kind: Kind, vocab_size: int = 8000, *, tags: Sequence[str] = ()
    ) -> "Tokenizer":
        """Returns a tokenizer of the texts' characters, or of `vocab_size` pieces that are learned.

        Each of `tags` (such as "<es>") is one token wherever it stands. `vocab_size` is none of characters.
        "bpe" is byte-pair encoding of characters (Sennrich et al., 2016, arXiv:1508.07909), "byte_level" of
        the 256 bytes of UTF-8, so that no character is unknown; "unigram" is the model of Kudo, 2018,
        arXiv:1804.10959.
        """
        if kind == "characters":
            known = sorted(set("".join(texts)))
            vocabulary = {piece: i for i, piece in enumerate([*SPECIALS, *known])}
            # Byte-pair encoding without merges: three times as fast as a word-level model of characters.
            inner = tokenizers.Tokenizer(models.BPE(vocabulary, [], unk_token=SPECIALS[UNK]))
            inner.decoder = decoders.Fuse()
        else:
            model, trainer = _to_train(kind, vocab_size - len(tags))
            inner = tokenizers.Tokenizer(model)
            if kind == "byte_level":
                inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
                inner.decoder = decoders.ByteLevel()
            else:
                inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
                inner.decoder = decoders.Metaspace(prepend_scheme="never")
            inner.train_from_iterator(map(_composed, texts), trainer)
        inner.add_special_tokens(_marks(kind))
        inner.add_tokens([tokenizers.AddedToken(tag, normalized=False) for tag in tags])
        return cls(inner)

    @property
    def size(self) -> int:
        """The number of ids."""
        return self._inner.get_vocab_size()

    @cached_property
    def tag_ids(self) -> list[int]:
        """The ids of tags."""
        return list(self._tags.values())

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Returns the ids of each text, without BOS and EOS."""
        return self.rows(texts).lists()

    def rows(self, texts: Sequence[str]) -> Rows:
        """Returns the same as `Rows`."""
        composed = [_composed(text) for text in texts]
        if self._table is not None:
            return self._table.rows(composed)
        return Rows.of([encoding.ids for encoding in self._inner.encode_batch_fast(composed)])

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the text of the ids up to the first EOS; special tokens write nothing."""
        ids = list(ids)
        end = ids.index(EOS) if EOS in ids else len(ids)
        return self._inner.decode(ids[:end], skip_special_tokens=True)

    def pieces(self, text: str) -> list[str]:
        """Returns the part of the text that each id of `encode([text])` stands for.

        Of several that share a character, as bytes do, the first one has it.
        """
        text = _composed(text)
        ends = [span.stop for span in self.spans(text)]
        return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def spans(self, text: str) -> list[range]:
        """Returns the places in the composed text of the characters of each id of `encode([text])`."""
        return [range(start, end) for start, end in self._inner.encode(_composed(text)).offsets]

    def names(self, ids: Sequence[int]) -> list[str]:
        """Returns the text that each id stands for by itself; pieces write a leading space as "▁"."""
        return [self._name(i) for i in ids]

    def _name(self, number: int) -> str:
        if number < len(SPECIALS):
            return SPECIALS[number]
        own = self._inner.id_to_token(number) or ""
        if not self._bytes:
            return own
        text = self._inner.decode([number])
        return own.replace("Ġ", "▁") if "\ufffd" in text else text.replace(" ", "▁")

    @cached_property
    def merges(self) -> dict[tuple[str, str], int]:
        """The merges of byte-pair encoding by their order; none of other kinds."""
        found = self._model.get("merges", ())
        return {(one, other): rank for rank, (one, other) in enumerate(found)}

    @cached_property
    def scores(self) -> dict[str, float]:
        """The log probability of each piece of a unigram model; none of other kinds."""
        if self._model["type"] != "Unigram":
            return {}
        return dict(self._model["vocab"][len(SPECIALS) :])

    def words(self, ids: Sequence[int]) -> list[str]:
        """Returns the words, in the characters of pieces, that no piece reaches beyond; without marks."""
        if self._bytes:
            return [word for word, _ in self._inner.pre_tokenizer.pre_tokenize_str(self._inner.decode(ids))]
        return WORD.findall("".join(self._inner.id_to_token(i) or "" for i in ids))

    def ids_of(self, pieces: Sequence[str]) -> list[int]:
        """Returns the id of each piece, UNK where there is none."""
        known = self._vocabulary
        return [known.get(piece, UNK) for piece in pieces]

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        return self._inner.get_vocab()

    @cached_property
    def _model(self) -> dict[str, Any]:
        model: dict[str, Any] = json.loads(self._inner.to_str())["model"]
        return model

    @cached_property
    def _bytes(self) -> bool:
        """True if pieces are of bytes."""
        return isinstance(self._inner.pre_tokenizer, pre_tokenizers.ByteLevel)

    @cached_property
    def _table(self) -> CharacterTable | None:
        """The table of single characters, ten times as fast as `tokenizers`; None if pieces are longer."""
        known = self._inner.get_vocab(with_added_tokens=False)
        characters = {piece: i for piece, i in known.items() if piece not in SPECIALS}
        if self._inner.pre_tokenizer is not None or any(len(piece) > 1 for piece in characters):
            return None
        return CharacterTable(characters, self._tags, unknown=UNK)

    @cached_property
    def _tags(self) -> dict[str, int]:
        added = self._inner.get_added_tokens_decoder().items()
        return {token.content: i for i, token in added if not token.special}

    def save(self, path: Path) -> None:
        """Writes one JSON file that `load` (and the `tokenizers` library) reads."""
        self._inner.save(str(path))

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Returns the tokenizer that `save` wrote. Raises InputError where the file is missing or another."""
        return cls(_read(path))


def _to_train(kind: Kind, size: int) -> tuple[Any, Any]:
    """Returns the model of a kind of pieces, and its trainer."""
    marks = _marks(kind)
    common: dict[str, Any] = {"special_tokens": marks, "vocab_size": size, "show_progress": False}
    if kind == "unigram":
        return models.Unigram(), trainers.UnigramTrainer(unk_token=marks[UNK], **common)
    if kind == "byte_level":
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        return models.BPE(), trainers.BpeTrainer(initial_alphabet=alphabet, **common)
    return models.BPE(unk_token=SPECIALS[UNK]), trainers.BpeTrainer(**common)


def _marks(kind: Kind) -> list[str]:
    """Returns the names that the special tokens have in `tokenizers`.

    A unigram model takes its own for pieces of text: there they begin with what no text has.
    """
    return [f"{NO_CHARACTER}{name}" for name in SPECIALS] if kind == "unigram" else list(SPECIALS)


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text).replace(NO_CHARACTER, "\ufffd")


class PretrainedTokenizer:
    """The tokenizer of a pretrained model, by the path of its tokenizer.json, or a new one.

    It neither pads nor cuts off, whatever the file says that batches of texts once were made to be.

    Raises:
      InputError: The file is missing or another.
    """

    def __init__(self, path: Path | tokenizers.Tokenizer) -> None:
        self._inner = _read(path) if isinstance(path, Path) else path
        self._inner.no_padding()
        self._inner.no_truncation()

    @classmethod
    def learned(cls, texts: Iterable[str], vocab_size: int) -> "PretrainedTokenizer":
        """Returns one of pieces of words in small letters, with the marks of BERT's, learned from texts.

        >>> PretrainedTokenizer.learned(["good film"] * 2, 40).names([2, 3])
        ['[CLS]', '[SEP]']
        """
        inner = tokenizers.Tokenizer(models.BPE(unk_token=MARKS[1]))  # WordPiece's trainer follows hashes.
        inner.normalizer = normalizers.BertNormalizer()
        cuts = [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()]
        inner.pre_tokenizer = pre_tokenizers.Sequence(cuts)
        inner.decoder = decoders.Metaspace()
        options: dict[str, Any] = {"special_tokens": [*MARKS], "show_progress": False}
        inner.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=vocab_size, **options))
        inner.post_processor = processors.BertProcessing((MARKS[3], 3), (MARKS[2], 2))
        return cls(inner)

    @property
    def size(self) -> int:
        """The number of ids."""
        return self._inner.get_vocab_size()

    def rows(self, texts: Sequence[str], most: int | None = None) -> list[list[int]]:
        """Returns the ids of each text, with the marks around it; no more than `most`, the marks included."""
        if most is not None:
            self._inner.enable_truncation(most)
        found = [encoding.ids for encoding in self._inner.encode_batch(list(texts))]
        self._inner.no_truncation()
        return found

    def save(self, path: Path) -> None:
        """Writes one JSON file, as it was read but for lengths."""
        self._inner.save(str(path))

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Returns the ids of a text; `special`: with the marks that the model expects around one."""
        return self._inner.encode(text, add_special_tokens=special).ids

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the text of ids; special tokens write nothing."""
        return self._inner.decode(list(ids), skip_special_tokens=True)

    def names(self, ids: Sequence[int]) -> list[str]:
        """Returns the text that each id stands for, spaces too; a special token has its name."""
        return [self._name(number) for number in ids]

    def _name(self, number: int) -> str:
        own = self._inner.id_to_token(number) or ""
        if "▁" in own:
            return own.replace("▁", " ")
        text = self._inner.decode([number], skip_special_tokens=False)
        # Bytes that are a part of a character have no text of their own.
        return text if text and "\ufffd" not in text else own

    @property
    def marks(self) -> list[int]:
        """The ids of special tokens."""
        return [i for i, token in self._inner.get_added_tokens_decoder().items() if token.special]

    def id(self, token: str) -> int | None:
        """Returns the id of a token; None where there is no such."""
        return self._inner.token_to_id(token)


def _read(path: Path) -> tokenizers.Tokenizer:
    if not path.is_file():
        raise InputError(f"{path}: no such tokenizer file")
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # `tokenizers` raises bare Exception for a malformed file.
        raise InputError(f"{path}: not a tokenizer file ({error})") from error
