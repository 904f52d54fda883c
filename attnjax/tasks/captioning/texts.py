"""Captions as tokens: the tokenizer, and the width that fixes the shapes of arrays."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from attnjax.config import InputError, require
from attnjax.data.images.pictures import TRAIN, Pictures
from attnjax.data.text.tokenizer import BOS, EOS, PAD, Tokenizer

_TOKENIZER, _WIDTHS = "caption_tokenizer.json", "caption_width.json"


@dataclass(frozen=True)
class CaptionTexts:
    """The tokenizer of captions and the width T of their arrays, both end marks included."""

    tokenizer: Tokenizer
    width: int

    @classmethod
    def fitting(cls, parts: Mapping[str, Pictures], *, vocab_size: int, most: int) -> "CaptionTexts":
        """Returns the tokenizer of the captions to train on, and a width for those of all parts.

        Raises:
          InputError: A caption has more tokens than `most`.
        """
        train = [text for texts in parts[TRAIN].captions for text in texts]
        tokenizer = Tokenizer.train(train, "bpe", vocab_size)
        distinct = list(
            dict.fromkeys(text for part in parts.values() for own in part.captions for text in own)
        )
        lengths = tokenizer.rows(distinct).lengths + 2
        longest = int(np.argmax(lengths))
        width = int(lengths[longest])
        require(
            width <= most,
            f"the caption {distinct[longest][:40]!r} has {width} tokens, data.max_length is {most}",
        )
        return cls(tokenizer, width)

    def arrays(self, texts: Sequence[str]) -> Int[np.ndarray, "n T"]:
        """Returns the begin mark, the tokens, the end mark and the padding of each caption."""
        padded: np.ndarray = self.tokenizer.rows(texts).between(BOS, EOS).padded(self.width, PAD)
        return padded

    def save(self, folder: Path) -> None:
        """Writes the tokenizer and the width into the folder."""
        self.tokenizer.save(folder / _TOKENIZER)
        (folder / _WIDTHS).write_text(json.dumps({"width": self.width}) + "\n", encoding="utf-8")

    @classmethod
    def saved_in(cls, folder: Path) -> bool:
        """Returns whether `save` completed in this folder: the width is written last."""
        return (folder / _WIDTHS).is_file()

    @classmethod
    def load(cls, folder: Path) -> "CaptionTexts":
        """Returns what `save` wrote. Raises InputError where a file is missing or malformed."""
        try:
            width = int(json.loads((folder / _WIDTHS).read_text(encoding="utf-8"))["width"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder / _WIDTHS}: not the width of a trained run ({error})") from error
        return cls(Tokenizer.load(folder / _TOKENIZER), width)
