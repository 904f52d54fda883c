"""Rules of what may be emitted next, whatever the strategy: lengths, n-grams, tokens, a prefix."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from attnjax.models.decoding.loop import Marks, ends
from attnjax.models.decoding.required import Progress, Required, begun, chosen
from attnjax.ops.core.node import PytreeNode, static

FREE = -1
"""A place of a prefix that any token may take."""


def rules(
    *,
    min_length: int = 0,
    max_length: int | None = None,
    min_ratio: float = 0.0,
    max_ratio: float | None = None,
    block: int = 0,
    exempt: Sequence[int] = (),
    banned: Sequence[Sequence[int]] = (),
) -> "Rules":
    """Returns rules of what may be emitted. Lengths count tokens without the end mark.

    A row that has its greatest length ends: unlike OpenNMT-py's, it is not cut off. A token is blocked as in
    OpenNMT-py where it would repeat an n-gram of its own row that holds no exempt token. Where nothing is
    left, the row may end. Numbers are traced: other ones need no other program, but for `block`.

    Args:
      min_length: of a row.
      max_length: of a row.
      min_ratio: the least length for each token of the row's input, rounded up; the greater of both counts.
      max_ratio: the greatest, likewise; the smaller of both counts.
      block: the length of the n-grams that may not come twice; 0 for none.
      exempt: tokens whose n-grams may.
      banned: sequences of one token or more that may not be emitted.

    Raises:
      ValueError: A number is out of its range, or a banned sequence is empty.

    References:
      Paulus et al., A Deep Reinforced Model for Abstractive Summarization, 2017, arXiv:1705.04304 (n-grams).

    Example:
      >>> rules(min_length=2, block=3).block
      3
    """
    numbers = {"min_length": min_length, "max_length": max_length, "block": block}
    for name, value in numbers.items():
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= (name == "max_length")
        if value is not None and not whole:
            least = int(name == "max_length")
            raise ValueError(f"{name} {value!r}: expected a whole number, {least} or more")
    if not min_ratio >= 0:
        raise ValueError(f"min_ratio {min_ratio!r}: expected 0 or more")
    if max_ratio is not None and not max_ratio > 0:
        raise ValueError(f"max_ratio {max_ratio!r}: expected above 0")
    if not all(len(sequence) for sequence in banned):
        raise ValueError("banned: a sequence is empty, expected 1 token or more")
    several = tuple(tuple(map(int, sequence)) for sequence in banned)
    return Rules(min_length, max_length, float(min_ratio), max_ratio, block, tuple(map(int, exempt)), several)


class Rules(PytreeNode):
    """The rules that `rules` returns."""

    min_length: Any
    max_length: Any
    min_ratio: Any
    max_ratio: Any
    block: int = static()
    exempt: Any
    banned: Any


class Bound(NamedTuple):
    """Rules for the rows of a batch.

    Attributes:
      rules: for all.
      least, most: [B], tokens of a row without its end mark.
      prefix: [B, P], tokens that a row begins with; `FREE` where any may stand.
      required: the phrases that rows have to have; None for none.
    """

    rules: Rules
    least: Int[Array, " B"]
    most: Int[Array, " B"]
    prefix: Int[Array, "B P"]
    required: Required | None = None

    def of(self, row: Any) -> "Bound":
        """Returns the rules for chosen rows."""
        return Bound(self.rules, *chosen(self[1:], row))

    def repeated(self, count: int) -> "Bound":
        """Returns the rules for `count` rows in the place of each."""
        return self.of(jnp.repeat(jnp.arange(len(self.least)), count))

    def allowed(
        self,
        tokens: Int[Array, "B L"],
        length: Int[Array, " B"],
        vocab: int,
        marks: Marks,
        *,
        progress: Progress | None = None,
    ) -> Bool[Array, "B V"]:
        """Returns the tokens that may come after the first `length` tokens of each row.

        What goes on in a phrase that a row lacks is not blocked where it repeats an n-gram.
        """
        each = jnp.arange(vocab)[None]
        ending = ends(each, marks)
        full = (length >= self.most)[:, None]
        early = (length < self.least)[:, None] & ~full
        taken = jnp.zeros((tokens.shape[0], vocab), bool)
        alone = [sequence[0] for sequence in self.rules.banned if len(sequence) == 1]
        if alone:  # Whisper bans some ninety: one operation for all.
            taken = taken.at[:, jnp.stack([jnp.asarray(token) for token in alone])].set(True)
        for *before, last in (sequence for sequence in self.rules.banned if len(sequence) > 1):
            taken |= _ends_in(tokens, length, before)[:, None] & (each == last)
        if self.rules.block:
            again = _repeating(tokens, length, vocab, self.rules.block, self.rules.exempt)
            taken |= again if progress is None else again & ~self._needed(progress, vocab)
        left = ~taken & jnp.where(ending, ~early, ~full)
        left = jnp.where(left.any(axis=1, keepdims=True), left, ending)
        width = self.prefix.shape[1]
        if not width:
            return left
        at = jnp.minimum(length, width - 1)[:, None]
        forced = jnp.where(length < width, jnp.take_along_axis(self.prefix, at, axis=1)[:, 0], FREE)[:, None]
        return jnp.where(forced == FREE, left, each == forced)

    def applied(
        self,
        scores: Float[Array, "B V"],
        tokens: Int[Array, "B L"],
        length: Int[Array, " B"],
        marks: Marks,
        *,
        progress: Progress | None = None,
    ) -> Float[Array, "B V"]:
        """Returns the scores of the next tokens, -inf where one is ruled out."""
        allowed = self.allowed(tokens, length, scores.shape[1], marks, progress=progress)
        return jnp.where(allowed, scores, -jnp.inf)

    def _needed(self, progress: Progress, vocab: int) -> Bool[Array, "B V"]:
        """Returns the tokens that begin a phrase which a row lacks, or go on in one."""
        assert self.required is not None
        needed = begun(self.required, progress.inside) & ~progress.met
        row, at = jnp.arange(len(needed))[:, None], jnp.where(needed, self.required.tokens, vocab)
        return jnp.zeros((len(needed), vocab), bool).at[row, at].set(True, mode="drop")


def bounded(
    given: Rules,
    lengths: Int[Array, " B"],
    prefix: Int[Array, "B P"] | None,
    room: int,
    required: Required | None = None,
) -> Bound:
    """Returns the rules for rows whose inputs have these lengths and for whose tokens there is this room."""

    def by_ratio(ratio: Any) -> Array:
        # Less a little, lest 1.1 × 10 be above 11.
        return jnp.ceil(ratio * lengths.astype(jnp.float32) - 1e-4).astype(jnp.int32)

    least = jnp.maximum(given.min_length, by_ratio(given.min_ratio))
    most = jnp.full(lengths.shape, room - 1, jnp.int32)
    if given.max_length is not None:
        most = jnp.minimum(most, given.max_length)
    if given.max_ratio is not None:
        most = jnp.minimum(most, jnp.maximum(1, by_ratio(given.max_ratio)))
    prefix = jnp.full((len(lengths), 0), FREE, jnp.int32) if prefix is None else prefix
    return Bound(given, least.astype(jnp.int32), most, prefix.astype(jnp.int32), required)


def _ends_in(tokens: Int[Array, "B L"], length: Int[Array, " B"], suffix: Sequence[Any]) -> Bool[Array, " B"]:
    count = len(suffix)
    same = length >= count
    for place, token in enumerate(suffix):
        at = jnp.maximum(length - count + place, 0)[:, None]
        same &= jnp.take_along_axis(tokens, at, axis=1)[:, 0] == token
    return same


def _repeating(
    tokens: Int[Array, "B L"], length: Int[Array, " B"], vocab: int, size: int, exempt: Sequence[Any]
) -> Bool[Array, "B V"]:
    """Returns the tokens that would end an n-gram which stands in the row already."""
    rows, room = tokens.shape
    starts = max(room - size + 1, 0)
    # n-grams by their start: all but their last token are those at the end of the row.
    same = (jnp.arange(starts)[None] + size <= length[:, None]) & (length >= size - 1)[:, None]
    for place in range(size):
        gram = tokens[:, place : place + starts]
        if place < size - 1:
            at = jnp.maximum(length - (size - 1) + place, 0)[:, None]
            same &= gram == jnp.take_along_axis(tokens, at, axis=1)
        for token in exempt:
            same &= gram != token
    last = tokens[:, size - 1 : size - 1 + starts]
    row = jnp.arange(rows)[:, None]
    return jnp.zeros((rows, vocab), bool).at[row, last].max(same)
