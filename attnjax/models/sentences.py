"""Texts as vectors: an encoder with its tokenizer, which reads texts of one length together.

References:
  Reimers & Gurevych, Sentence-BERT, 2019, arXiv:1908.10084.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from attnjax.models.encoder import Encoder
from attnjax.ops.core.dtypes import accumulation_dtype

ROWS = 32
"""Most texts that are computed together."""
NARROWEST = 8
"""Tokens. Shorter texts are filled up to it."""


@dataclass(frozen=True)
class SentenceEncoder:
    """A model with the way from texts to vectors.

    Texts are sorted by length and computed in few shapes: a width is 8, 12, 16, 24, 32, 48 … tokens, and a
    batch has as many rows as a power of two. A text's vector does not depend on those computed with it but
    for the last bits.

    Attributes:
      model: the encoder; its config says how vectors of tokens become one.
      tokens: returns the ids of each text.
      normalise: True if vectors have length 1.
      query: stands before a text that others are searched for.
      passage: stands before every other text.
    """

    model: Encoder
    tokens: Callable[[Sequence[str]], list[list[int]]]
    normalise: bool = True
    query: str = ""
    passage: str = ""

    def __call__(self, texts: Sequence[str], *, query: bool = False) -> Float[np.ndarray, "n D"]:
        """Returns the vector of each text, in float32.

        Args:
          texts: any number of them.
          query: True where they are what others are searched for.
        """
        before = self.query if query else self.passage
        ids = self.tokens([before + text for text in texts])
        found = np.zeros((len(texts), self.model.config.dim), np.float32)
        for places, width in shapes_of([len(own) for own in ids], self._longest):
            rows = 1 << (len(places) - 1).bit_length()
            tokens, lengths = np.zeros((rows, width), np.int32), np.ones(rows, np.int32)
            for row, place in enumerate(places):
                tokens[row, : len(ids[place])], lengths[row] = ids[place], len(ids[place])
            found[places] = np.asarray(self._compiled(self._params, tokens, lengths))[: len(places)]
        return found

    @property
    def _longest(self) -> int | None:
        """The learned positions; None where the model has others."""
        config = self.model.config
        return config.max_length if config.positions == "learned" else None

    @cached_property
    def _params(self) -> Any:
        return nnx.split(self.model)[1]

    @cached_property
    def _compiled(self) -> Any:
        graph = nnx.split(self.model)[0]

        def vectors(params: Any, tokens: Array, lengths: Array) -> Array:
            pooled = nnx.merge(graph, params)(tokens, lengths=lengths).pooled
            pooled = pooled.astype(accumulation_dtype(pooled))
            if not self.normalise:
                return pooled
            return pooled / jnp.maximum(jnp.linalg.norm(pooled, axis=-1, keepdims=True), 1e-12)

        return jax.jit(vectors)


def pooled_as(model: Encoder, pooling: str) -> Encoder:
    """Returns the encoder whose vector of a text is that of its "first" or "last" token, or the "mean"."""
    model.config = replace(model.config, pooling=pooling, pooler=None)  # type: ignore[arg-type]
    return model


def shapes_of(lengths: Sequence[int], longest: int | None = None) -> Iterator[tuple[list[int], int]]:
    """Yields the places of texts that are computed together, and the width that they are filled up to.

    Args:
      lengths: of the texts.
      longest: the largest width; None: any.

    Example:
      >>> list(shapes_of([3, 9, 8, 20]))
      [([0, 2], 8), ([1], 12), ([3], 24)]
    """
    groups: dict[int, list[int]] = {}
    for place in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        width = NARROWEST << max(0, (lengths[place] - 1).bit_length() - NARROWEST.bit_length() + 1)
        if width > NARROWEST and lengths[place] <= width * 3 // 4:
            width = width * 3 // 4
        width = width if longest is None else min(width, longest)
        groups.setdefault(width, []).append(place)
    for width, places in groups.items():
        for start in range(0, len(places), ROWS):
            yield places[start : start + ROWS], width


def nearest(
    query: Float[np.ndarray, " D"], vectors: Float[np.ndarray, "n D"], count: int
) -> list[tuple[int, float]]:
    """Returns the places of the vectors with the greatest cosine to another, and the cosines, best first.

    Example:
      >>> nearest(np.array([1.0, 0.0]), np.array([[0.0, 2.0], [3.0, 0.0], [1.0, 1.0]]), 2)[0]
      (1, 1.0)
    """
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    cosines = vectors @ query / np.maximum(lengths, 1e-12)
    best = np.argsort(-cosines, kind="stable")[:count]
    return [(int(i), float(cosines[i])) for i in best]
