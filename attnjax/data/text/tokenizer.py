"""Text to token ids and back, by characters or byte pairs. The only file that touches `tokenizers`."""

import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from attnjax.config import InputError
from attnjax.data.text.characters import CharacterTable
from attnjax.data.text.rows import Rows

PAD, BOS, EOS, UNK = range(4)
SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")

Kind = Literal["characters", "bpe"]


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
        """Returns a tokenizer of the texts' characters, or of `vocab_size` pieces by byte-pair encoding.

        Each of `tags` (such as "<es>") is one token wherever it stands. `vocab_size` counts for bpe only.
        Byte-pair encoding: Sennrich et al., 2016, arXiv:1508.07909.
        """
        if kind == "characters":
            known = sorted(set("".join(texts)))
            vocabulary = {piece: i for i, piece in enumerate([*SPECIALS, *known])}
            # Byte-pair encoding without merges: three times as fast as a word-level model of characters.
            inner = tokenizers.Tokenizer(models.BPE(vocabulary, [], unk_token=SPECIALS[UNK]))
            inner.decoder = decoders.Fuse()
        else:
            inner = tokenizers.Tokenizer(models.BPE(unk_token=SPECIALS[UNK]))
            inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
            inner.decoder = decoders.Metaspace(prepend_scheme="never")
            trainer = trainers.BpeTrainer(
                vocab_size=vocab_size - len(tags), special_tokens=list(SPECIALS), show_progress=False
            )
            inner.train_from_iterator(texts, trainer)
        inner.add_special_tokens(list(SPECIALS))
        inner.add_tokens([tokenizers.AddedToken(tag, normalized=False) for tag in tags])
        return cls(inner)

    @property
    def size(self) -> int:
        """The number of ids."""
        return self._inner.get_vocab_size()

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
        """Returns the part of the text that each id of `encode([text])` stands for."""
        text = _composed(text)
        return [text[span.start : span.stop] for span in self.spans(text)]

    def spans(self, text: str) -> list[range]:
        """Returns the places in the composed text of the characters of each id of `encode([text])`."""
        return [range(start, end) for start, end in self._inner.encode(_composed(text)).offsets]

    def names(self, ids: Sequence[int]) -> list[str]:
        """Returns the text that each id stands for by itself; bpe writes a leading space as "▁"."""
        return [self._inner.id_to_token(i) or "" for i in ids]

    @cached_property
    def _table(self) -> CharacterTable | None:
        """The table of single characters, ten times as fast as `tokenizers`; None if pieces are longer."""
        known = self._inner.get_vocab(with_added_tokens=False)
        characters = {piece: i for piece, i in known.items() if piece not in SPECIALS}
        if self._inner.pre_tokenizer is not None or any(len(piece) > 1 for piece in characters):
            return None
        added = self._inner.get_added_tokens_decoder().items()
        tags = {token.content: i for i, token in added if not token.special}
        return CharacterTable(characters, tags, unknown=UNK)

    def save(self, path: Path) -> None:
        """Writes one JSON file that `load` (and the `tokenizers` library) reads."""
        self._inner.save(str(path))

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Returns the tokenizer that `save` wrote. Raises InputError where the file is missing or another."""
        return cls(_read(path))


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


class PretrainedTokenizer:
    """The tokenizer of a pretrained model, by its tokenizer.json.

    It neither pads nor cuts off, whatever the file says that batches of texts once were made to be.

    Args:
      path: of the file.

    Raises:
      InputError: The file is missing or another.
    """

    def __init__(self, path: Path) -> None:
        self._inner = _read(path)
        # A file may say that every text is cut off, or filled up, to some length: callers say that here.
        self._inner.no_padding()
        self._inner.no_truncation()

    @property
    def size(self) -> int:
        """The number of ids."""
        return self._inner.get_vocab_size()

    def rows(self, texts: Sequence[str], most: int | None = None) -> list[list[int]]:
        """Returns the ids of each text, with the marks around it; no more than `most`, the marks included."""
        if most is None:
            self._inner.no_truncation()
        else:
            self._inner.enable_truncation(most)
        found = self._inner.encode_batch(list(texts))
        self._inner.no_truncation()
        return [encoding.ids for encoding in found]

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
