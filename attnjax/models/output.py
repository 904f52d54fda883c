"""The outputs of models."""

from typing import Generic, NamedTuple, TypeVar

from jaxtyping import Array, Float

Cache = TypeVar("Cache")
Weights = dict[str, Float[Array, "B N rows S"]]
"""Attention weights before dropout, by the path of their layer ("blocks.1.attention")."""


class ModelOutput(NamedTuple, Generic[Cache]):
    """The output of a model, whatever it was asked for.

    Attributes:
      logits: [B, T, V], in float32 or better.
      cache: with the tokens of this call appended; None where no cache was given.
      weights: those that a capture asked for; empty where none was given.
    """

    logits: Float[Array, "B T V"]
    cache: Cache | None
    weights: Weights


class EncoderOutput(NamedTuple):
    """The output of an encoder of texts or images, whatever it was asked for.

    Attributes:
      states: the tokens as vectors [B, T, D]; those of the padding mean nothing.
      pooled: a vector for each row [B, D]: that of its first token, after the pooler where there is one.
      logits: of the head, [B, T, V], [B, T, L] or [B, L], in float32 or better; None where there is no head.
      pair: logits of the head of sentence pairs [B, 2]; None where there is none.
      weights: those that a capture asked for; empty where none was given.
    """

    states: Float[Array, "B T D"]
    pooled: Float[Array, "B D"]
    logits: Float[Array, "B *T L"] | None
    pair: Float[Array, "B 2"] | None
    weights: Weights


class Encoded(NamedTuple):
    """The output of an encoder, whatever it was asked for.

    Attributes:
      memory: the source as vectors [B, S, D]; those of the padding mean nothing.
      weights: those that a capture asked for; empty where none was given.
    """

    memory: Float[Array, "B S D"]
    weights: Weights
