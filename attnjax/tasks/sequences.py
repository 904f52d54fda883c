"""Questions within sequences: a language model answers at the tokens where something is asked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.config import require
from attnjax.data.synthetic.questions import NOT_ASKED, Sequences
from attnjax.models.config import LanguageModelConfig
from attnjax.models.decoding.text import TextModel
from attnjax.models.language_model import LanguageModel
from attnjax.nn.dropout import Dropout
from attnjax.tasks.base import Arrays, Params, Prediction
from attnjax.tasks.config import CROSS_ENTROPY, CrossEntropyConfig
from attnjax.tasks.drawn import DrawnTask
from attnjax.tasks.inference import most_positions, padded
from attnjax.tasks.model_task import require_positions


@dataclass(frozen=True)
class Answers(Prediction):
    """The likeliest answer at each token of a sequence; the last one stands for them all.

    Where nothing is asked, answers mean nothing.
    """

    tokens: list[int]
    answers: list[int]
    word: Callable[[int], str]
    """Writes a token."""

    @property
    def text(self) -> str:  # type: ignore[override]
        """The answer at the last token."""
        return self.word(self.answers[-1])

    def record(self) -> dict[str, Any]:
        """Returns the answer at the last token."""
        return {"answer": self.answers[-1], "word": self.text}

    def details(self) -> dict[str, Any]:
        """Returns all tokens and all answers, as ids."""
        return {"tokens": self.tokens, "answers": self.answers}

    def picture(self) -> str:
        """Returns the tokens and, below each, its answer."""
        rows = [[self.word(token) for token in tokens] for tokens in (self.tokens, self.answers)]
        widths = [max(map(len, pair)) for pair in zip(*rows, strict=True)]
        lines = (map(str.ljust, row, widths) for row in rows)
        return "\n".join(" ".join(line).rstrip() for line in lines)


class SequenceTask(DrawnTask[Sequences, LanguageModel]):
    """Trains a `LanguageModel` to give the answers of a source of sequences.

    Every answer is given with the right tokens before it (teacher forcing). A sequence whose answers are all
    right is therefore one that greedy decoding would have written as well, where an answer is the next token.

    Args:
      source: makes the sequences.
      config: the model's shape.
      loss: the loss's settings.
      batch_size: of all hosts together.

    Raises:
      InputError: the sequences are longer than the model's learned positions.
    """

    whole = "sequences"

    def __init__(
        self,
        source: Sequences,
        config: LanguageModelConfig,
        *,
        loss: CrossEntropyConfig = CROSS_ENTROPY,
        batch_size: int,
    ) -> None:
        super().__init__(source, loss=loss, batch_size=batch_size)
        self.config = config
        require_positions(config, max(x["tokens"].shape[1] for x in self._tests.values()), "the sequences")

    def build(self, rngs: nnx.Rngs) -> LanguageModel:
        """Returns a language model of the source's tokens."""
        return LanguageModel(self.config, vocab=self.source.vocab, rngs=rngs)

    def logits_of(
        self, model: LanguageModel, arrays: Mapping[str, jax.Array], dropout: Dropout | None = None
    ) -> Float[Array, "B T V"]:
        """Returns the logits of the answers to "tokens"."""
        return model(arrays["tokens"], dropout=dropout).logits

    def read_input(self, text: str) -> list[int]:
        """Returns the tokens of a sequence, of which the text has the words or the ids; a word comes first.

        Raises:
          InputError: there is no such token, or more of them than the model's learned positions.
        """
        known = {str(token): token for token in range(self.source.vocab)}
        known |= {self.source.word(token): token for token in range(self.source.vocab)}
        words = text.replace(",", " ").split()
        for word in words:
            require(
                word in known,
                f"{word!r} is no token: expected ids from 0 to {self.source.vocab - 1}, or words such as "
                f"{self._words(range(self.source.vocab - 2, self.source.vocab))}",
            )
        require_positions(self.config, len(words), "the tokens")
        return [known[word] for word in words]

    def predict(self, params: Params, inputs: Sequence[Sequence[int]]) -> list[Answers]:
        """Returns the likeliest answers in each sequence of tokens."""
        # Nothing that stands before the padding sees it.
        tokens = padded(inputs, most_positions(self.config))
        given = self.infer(self.likeliest, params, {"tokens": tokens}).tolist()
        return [
            Answers(list(own), row[: len(own)], self.source.word)
            for own, row in zip(inputs, given, strict=True)
        ]

    def reader(self, params: Params) -> TextModel:
        """Returns the model with the words of its tokens."""

        def names(ids: Sequence[int]) -> list[str]:
            return [self.source.word(token) for token in ids]

        return TextModel(self.model(params), self.read_input, self._words, eos=(), names=names)

    def _sample(
        self, setting: str, arrays: Arrays, given: Int[np.ndarray, "n T"], row: int
    ) -> dict[str, str]:
        asked = arrays["answers"][row] != NOT_ASKED
        right = arrays["answers"][row][asked]
        return {
            "row": setting,
            "sequence": self._words(arrays["tokens"][row].tolist()),
            "answers": self._words(given[row][asked].tolist()),
            "right ones": self._words(right.tolist()),
        }

    def _words(self, tokens: Sequence[int]) -> str:
        return " ".join(map(self.source.word, tokens))
