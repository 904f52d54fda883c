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


class Encoded(NamedTuple):
    """The output of an encoder, whatever it was asked for.

    Attributes:
      memory: the source as vectors [B, S, D]; those of the padding mean nothing.
      weights: those that a capture asked for; empty where none was given.
    """

    memory: Float[Array, "B S D"]
    weights: Weights
