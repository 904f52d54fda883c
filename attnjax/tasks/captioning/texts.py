"""Captions as tokens: the tokenizer, and the width that fixes the shapes of arrays."""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from attnjax.config import InputError, require
from attnjax.data.images.pictures import TRAIN, Pictures
from attnjax.data.text.tokenizer import BOS, EOS, PAD, Tokenizer

_TOKENIZER, _WIDTHS = "caption_tokenizer.json", "caption_width.json"
_TAG = re.compile(r"<[\w-]+>")


@dataclass(frozen=True)
class CaptionTexts:
    """The tokenizer of captions and the width T of their arrays, both end marks included."""

    tokenizer: Tokenizer
    width: int
    tags: tuple[str, ...] = ()
    """The first words of captions, such as "<de>", where each begins with one: the languages to ask for."""

    @classmethod
    def fitting(cls, parts: Mapping[str, Pictures], *, vocab_size: int, most: int) -> "CaptionTexts":
        """Returns the tokenizer of the captions to train on, and a width for those of all parts.

        Raises:
          InputError: A caption has more tokens than `most`.
        """
        train = [text for texts in parts[TRAIN].captions for text in texts]
        first = {text.partition(" ")[0] for text in train}
        tags = sorted(first) if all(map(_TAG.fullmatch, first)) else []
        # Behind a tag the first word is one behind a space.
        texts = (f" {untagged(text)}" for text in train) if tags else train
        tokenizer = Tokenizer.train(texts, "bpe", vocab_size, tags=tags)
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
        return cls(tokenizer, width, tuple(tags))

    def arrays(self, texts: Sequence[str]) -> Int[np.ndarray, "n T"]:
        """Returns the begin mark, the tokens, the end mark and the padding of each caption."""
        padded: np.ndarray = self.tokenizer.rows(texts).between(BOS, EOS).padded(self.width, PAD)
        return padded

    def save(self, folder: Path) -> None:
        """Writes the tokenizer and the width into the folder."""
        self.tokenizer.save(folder / _TOKENIZER)
        found = {"width": self.width, "tags": self.tags}
        (folder / _WIDTHS).write_text(json.dumps(found) + "\n", encoding="utf-8")

    @classmethod
    def saved_in(cls, folder: Path) -> bool:
        """Returns whether `save` completed in this folder: the width is written last."""
        return (folder / _WIDTHS).is_file()

    @classmethod
    def load(cls, folder: Path) -> "CaptionTexts":
        """Returns what `save` wrote. Raises InputError where a file is missing or malformed."""
        try:
            found = json.loads((folder / _WIDTHS).read_text(encoding="utf-8"))
            width, tags = int(found["width"]), tuple(found["tags"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder / _WIDTHS}: not the width of a trained run ({error})") from error
        return cls(Tokenizer.load(folder / _TOKENIZER), width, tags)


def in_language(part: Pictures, tag: str) -> Pictures:
    """Returns the images that have captions with a tag, and these captions without it."""
    own = [
        tuple(untagged(text) for text in texts if text.partition(" ")[0] == tag) for texts in part.captions
    ]
    rows = [row for row, texts in enumerate(own) if texts]
    return dataclasses.replace(
        part,
        captions=[own[row] for row in rows],
        pixels=None if part.pixels is None else part.pixels[rows],
        files=[part.files[row] for row in rows] if part.files else (),
    )


def untagged(text: str) -> str:
    """Returns a caption without the tag that it begins with, if it does.

    >>> untagged("<de> ein Ring"), untagged("a ring")
    ('ein Ring', 'a ring')
    """
    first, _, rest = text.partition(" ")
    return rest if _TAG.fullmatch(first) else text
