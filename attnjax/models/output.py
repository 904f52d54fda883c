"""The outputs of models, and what is collected for them layer by layer."""

from typing import Generic, NamedTuple, TypeVar

from jaxtyping import Array, Float

from attnjax.nn import Capture

Cache = TypeVar("Cache")
Weights = dict[str, Float[Array, "B N rows S"]]
"""Attention weights before dropout, by the path of their layer ("blocks.1.attention")."""
Hidden = dict[str, Float[Array, "B rows D"]]
"""Vectors of tokens by the path of what they come out of ("embedding", "blocks.1", "norm")."""


class ModelOutput(NamedTuple, Generic[Cache]):
    """The output of a model, whatever it was asked for.

    Attributes:
      logits: [B, T, V], in float32 or better.
      cache: with the tokens of this call appended; None where no cache was given.
      weights: those that a capture asked for; empty where none was given.
      hidden: the vectors that a capture asked for.
    """

    logits: Float[Array, "B T V"]
    cache: Cache | None
    weights: Weights
    hidden: Hidden


class EncoderOutput(NamedTuple):
    """The output of an encoder of texts or images, whatever it was asked for.

    Attributes:
      states: the tokens as vectors [B, T, D]; those of the padding mean nothing.
      pooled: a vector for each row [B, D]: that of its first or last token, or the mean of all, after the
        pooler where there is one.
      logits: of the head, [B, T, V], [B, T, L] or [B, L], in float32 or better; None where there is no head.
      pair: logits of the head of sentence pairs [B, 2]; None where there is none.
      weights: those that a capture asked for; empty where none was given.
      hidden: the vectors that a capture asked for.
    """

    states: Float[Array, "B T D"]
    pooled: Float[Array, "B D"]
    logits: Float[Array, "B *T L"] | None
    pair: Float[Array, "B 2"] | None
    weights: Weights
    hidden: Hidden


class Encoded(NamedTuple):
    """The output of an encoder, whatever it was asked for.

    Attributes:
      memory: the source as vectors [B, S, D]; those of the padding mean nothing.
      weights: those that a capture asked for; empty where none was given.
      hidden: the vectors that a capture asked for.
    """

    memory: Float[Array, "B S D"]
    weights: Weights
    hidden: Hidden


class Captured:
    """The weights and vectors that a capture asks for, as a stack of layers gives them.

    Args:
      asked: the request; None: nothing is collected.
      stack: the name of the stack.
    """

    def __init__(self, asked: Capture | None, stack: str) -> None:
        self.asked = asked
        self.stack = stack
        self.weights: Weights = {}
        self.hidden: Hidden = {}

    def layer(self, number: int) -> Capture | None:
        """Returns the request as layer `number` sees it."""
        return None if self.asked is None else self.asked.layer(number)

    def add_layer(self, number: int, x: Float[Array, "B T D"], weights: Weights) -> None:
        """Takes in what layer `number` gives; its weights are what it was asked for."""
        self.weights |= {f"{self.stack}.{number}.{name}": w for name, w in weights.items()}
        if self.layer(number) is not None:
            self.add(f"{self.stack}.{number}", x)

    def add(self, path: str, x: Float[Array, "B T D"]) -> None:
        """Takes in vectors of all tokens, where they are asked for."""
        if self.asked is not None and self.asked.hidden:
            self.hidden[path] = self.asked.of_tokens(x)
