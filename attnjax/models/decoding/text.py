"""Text from text: a model with the way from text to tokens and back, piece by piece."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from attnjax.models.decoding.generate import generate, stream
from attnjax.models.decoding.loop import Decodable, Strategy
from attnjax.models.decoding.rules import Rules
from attnjax.models.decoding.sampling import greedy

WIDTH = 32
"""Tokens; prompts are padded to multiples of it, so that those of many lengths need few programs."""


@dataclasses.dataclass(frozen=True)
class TextModel:
    """A model that writes text.

    Attributes:
      model: an encoder-decoder, or a decoder-only model.
      encode: text to token ids.
      decode: token ids to text.
      eos: the tokens that end a text.
      bos: the token that begins a target; None for a decoder-only model.
      pad: the token that fills up.
      rules: of what may be written, beside those of the strategy; None for none.
      prefix: the tokens that every target begins with.
      chat: a message to the text that the model's answer continues; None where it has no template.
      raw: as `encode`, for a text in which special tokens stand already, as one of `chat`.
      names: the text of each id that is read, also of one that writes nothing; None where it is not known.
      written_names: as `names`, of ids that are written; None: the same.
    """

    model: Decodable
    encode: Callable[[str], Sequence[int]]
    decode: Callable[[Sequence[int]], str]
    eos: tuple[int, ...]
    bos: int | None = None
    pad: int = 0
    rules: Rules | None = None
    prefix: tuple[int, ...] = ()
    chat: Callable[[str, str | None], str] | None = None
    raw: Callable[[str], Sequence[int]] | None = None
    names: Callable[[Sequence[int]], list[str]] | None = None
    written_names: Callable[[Sequence[int]], list[str]] | None = None

    def write(
        self,
        prompt: Sequence[int],
        *,
        max_length: int,
        strategy: Strategy | None = None,
        key: Array | None = None,
        stop: Sequence[str] = (),
        every: int = 4,
    ) -> Iterator[str]:
        """Yields the text that follows the tokens of a prompt, as it comes.

        Args:
          prompt: the tokens, 1 or more.
          max_length: of the tokens to emit.
          strategy: as of `generate`; with one that takes tokens back, all comes at once.
          key: of jax.random.
          stop: strings, before the first of which the text ends.
          every: the steps from one piece to the next.

        Raises:
          ValueError: As in `generate`; the prompt is empty.
        """
        if not prompt:
            raise ValueError("the prompt is empty: expected 1 token or more")
        inputs = np.full((1, self._width(len(prompt), max_length)), self.pad, np.int32)
        inputs[0, : len(prompt)] = prompt
        arguments = self.model, jnp.asarray(inputs), jnp.array([len(prompt)])
        options: dict[str, Any] = {"strategy": strategy or greedy(), "bos": self.bos, "eos": self.eos}
        options |= {"pad": self.pad, "max_length": max_length, "key": key, "rules": self.rules}
        options["prefix"] = jnp.array([self.prefix]) if self.prefix else None
        if options["strategy"].streams:
            pieces = (piece[0] for piece in stream(*arguments, every=every, **options))
        else:
            pieces = iter(generate(*arguments, **options).tokens)
        text = TextStream(self.decode, stop)
        for piece in pieces:
            tokens = np.asarray(piece).tolist()
            ended = next((i for i, token in enumerate(tokens) if token in self.eos), len(tokens))
            yield text.add(tokens[:ended])
            if text.stopped or ended < len(tokens):
                break
        yield text.rest()

    def _width(self, length: int, max_length: int) -> int:
        """Returns the width of a prompt; where positions are learned, it leaves room for what is emitted."""
        table = getattr(getattr(self.model, "embedding", None), "max_length", None)
        rounded = -(-length // WIDTH) * WIDTH
        return rounded if table is None else max(length, min(rounded, table - max_length + 1))


class TextStream:
    """The text of tokens that come piece by piece, without what a later token may change or cut off.

    Args:
      decode: token ids to text.
      stop: strings, before the first of which the text ends.

    Example:
      >>> text = TextStream(lambda ids: "".join(map(chr, ids)), ["END"])
      >>> text.add([65, 69, 78]), text.add([66]), text.add([69, 78, 68, 67]), text.stopped
      ('A', 'ENB', '', True)
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str] = ()) -> None:
        self.stopped = False
        self._decode, self._stop = decode, [string for string in stop if string]
        self._tokens: list[int] = []
        self._shown = 0

    def add(self, tokens: Sequence[int]) -> str:
        """Returns the text that is certain by now, after what was returned before."""
        self._tokens += tokens
        text = self._cut(self._decode(self._tokens))
        return self._new(text if self.stopped else text[: len(text) - self._open(text)])

    def rest(self) -> str:
        """Returns the text that was held back; no token comes after it."""
        return self._new(self._cut(self._decode(self._tokens)))

    def _new(self, text: str) -> str:
        shown, self._shown = self._shown, max(self._shown, len(text))
        return text[shown:]

    def _cut(self, text: str) -> str:
        found = [at for at in map(text.find, self._stop) if at >= 0]
        self.stopped = bool(found)
        return text[: min(found)] if found else text

    def _open(self, text: str) -> int:
        """Returns the characters at the end that may be the beginning of a stop string, or half of one."""
        half = len(text) - len(text.rstrip("\ufffd"))
        begun = [n for string in self._stop for n in range(1, len(string)) if text.endswith(string[:n])]
        return max([half, *begun])
