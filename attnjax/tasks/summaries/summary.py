"""Summaries that a trained model wrote, with the words that were copied."""

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

from attnjax.tasks.translation.alignment import Translation

COPIED = 0.5
"""A word is called copied if it is likelier a copy than not."""


class WrittenWord(NamedTuple):
    """A word of a summary and where it is from.

    Attributes:
      word: as it is written.
      share: the probability that it was copied, from 0 to 1; None where the model cannot copy.
      place: the number, from 0, of the word of the text that it was copied from, or that the model looked at
        most; -1 where there is none.
      source: that word; empty where there is none.
    """

    word: str
    share: float | None
    place: int
    source: str

    @property
    def copied(self) -> bool:
        """True if it is likelier a copy than not."""
        return self.share is not None and self.share > COPIED


@dataclass(frozen=True)
class Summary(Translation):
    """A summary, with its words one by one."""

    words: tuple[WrittenWord, ...] = ()

    @classmethod
    def of(cls, written: Translation, words: tuple[WrittenWord, ...]) -> "Summary":
        """Returns what was written as a summary of these words."""
        fields = {field.name: getattr(written, field.name) for field in dataclasses.fields(written)}
        return cls(**{**fields, "text": " ".join(written.text.split())}, words=words)

    def record(self) -> dict[str, Any]:
        """Returns the summary, the words that were copied, and the next best ones where there are such."""
        named = {"summary" if name == "translation" else name: x for name, x in super().record().items()}
        if any(word.share is not None for word in self.words):
            named["copied"] = [word.word for word in self.words if word.copied]
        return {**named, "summary": self.text}

    def details(self) -> dict[str, Any]:
        """Returns where each word is from, and the pieces with their alignment."""
        return {"words": [word._asdict() for word in self.words], **super().details()}

    def picture(self) -> str:
        """Returns a line for each word: how surely it was copied, and the word of the text it looked at.

        >>> import numpy as np
        >>> words = WrittenWord("the", 0.02, 4, "a"), WrittenWord("socket", 0.97, 5, "socket")
        >>> print(Summary("the socket", [], [], np.zeros((0, 0)), words=words).picture())
              the     looks at word 5, a
        97 %  socket  copied, word 6
        """
        width = max((len(word.word) for word in self.words), default=0)
        return "\n".join(_line(word, width) for word in self.words)


def _line(word: WrittenWord, width: int) -> str:
    share = f"{100 * word.share:2.0f} %" if word.copied and word.share is not None else "    "
    if word.place < 0:
        return f"{share}  {word.word}"
    what = "copied, word" if word.copied else "looks at word"
    more = "" if word.source == word.word else f", {word.source}"
    return f"{share}  {word.word:{width}}  {what} {word.place + 1}{more}"
