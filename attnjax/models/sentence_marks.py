"""The tokens at which sentences end, and the sentence of each token of a text."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int


@dataclass(frozen=True)
class SentenceMarks:
    """The tokens by which a text is cut into sentences.

    A sentence ends with a token of `ends` and those of `ends` and `closing` that follow it: quotation marks,
    brackets, the mark at the end of a text.

    Attributes:
      ends: ids of tokens such as ".", "!" and "?".
      closing: ids of tokens that begin no sentence.

    Example:
      >>> marks = SentenceMarks(ends=(7,), closing=(8,))
      >>> marks.numbers(jnp.array([[1, 2, 7, 7, 8, 3, 8, 4, 7, 8]])).tolist()
      [[0, 0, 0, 0, 0, 1, 1, 1, 1, 1]]
    """

    ends: tuple[int, ...]
    closing: tuple[int, ...] = ()

    def numbers(self, tokens: Int[Array, "B T"]) -> Int[Array, "B T"]:
        """Returns the number from 0 of each token's sentence in its row."""
        is_end = jnp.isin(tokens, jnp.array(self.ends))
        is_word = ~jnp.isin(tokens, jnp.array(self.ends + self.closing))
        at = jnp.broadcast_to(jnp.arange(tokens.shape[1], dtype=jnp.int32), tokens.shape)

        def last(there: Array) -> Array:
            """The place of the last one before each token; -1: there is none."""
            until = jax.lax.cummax(jnp.where(there, at, -1), axis=1)
            return jnp.pad(until[:, :-1], ((0, 0), (1, 0)), constant_values=-1)

        begins = is_word & (last(is_end) > last(is_word))
        return jnp.cumsum(begins, axis=1, dtype=jnp.int32)
