"""Beams with one more token each, from which those that end and those that go on are taken."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from attnjax.models.decoding.loop import Marks, ends
from attnjax.models.decoding.required import NO_TOKEN, Progress, Required, chosen, followed, lacking
from attnjax.ops.core.largest import largest

NEVER = -jnp.inf
"""The score of a beam that does not count."""


class Candidates(NamedTuple):
    """The candidates of each row.

    Attributes:
      scores: [B, N].
      parent: [B, N], the beam that each goes on from.
      token: [B, N], the one more.
      high: [B, N], True for those that count where they end: the likeliest, as many as there are beams.
      preference: [B, N], by which those that go on are taken.
    """

    scores: Float[Array, "B N"]
    parent: Int[Array, "B N"]
    token: Int[Array, "B N"]
    high: Bool[Array, "B N"]
    preference: Float[Array, "B N"]


def likeliest(scores: Float[Array, "B K V"], marks: Marks) -> Candidates:
    """Returns the likeliest candidates of each row, the best first."""
    batch, beams, vocab = scores.shape
    flat = scores.reshape(batch, beams * vocab)
    best, found = largest(flat, min(beams * _each(marks), beams * vocab))
    high = jnp.broadcast_to(jnp.arange(found.shape[1]) < beams, found.shape)
    return Candidates(best, found // vocab, (found % vocab).astype(jnp.int32), high, best)


def banked(scores: Float[Array, "B K V"], marks: Marks, required: Required, progress: Progress) -> Candidates:
    """Returns candidates in banks by the tokens of phrases that they lack, which have equal shares.

    Those that go on are the best of each bank, then the second ones, and so on, what lacks less before what
    lacks more: dynamic beam allocation. A candidate that lacks something does not end. Where no row has
    a phrase all are in one bank, and the choice is that of `likeliest`.

    Args:
      scores: of all tokens after each beam.
      marks: the tokens that have a meaning.
      required: the phrases, [B·K, C].
      progress: of the beams.
    """
    batch, beams, vocab = scores.shape
    flat = scores.reshape(batch * beams, vocab)
    flat = jnp.where((lacking(required, progress) > 0)[:, None] & ends(jnp.arange(vocab), marks), NEVER, flat)
    tokens, room = required.tokens, required.tokens.shape[1]
    row, at = jnp.arange(len(flat))[:, None], jnp.where(tokens == NO_TOKEN, vocab, tokens)
    # Tokens of phrases are candidates of their own, whatever their scores; no token is one twice.
    again = jnp.any(jnp.tril(tokens[:, :, None] == tokens[:, None, :], -1), axis=-1)
    own = jnp.where(again, NEVER, flat.at[row, at].get(mode="fill", fill_value=NEVER))
    after = Progress(
        followed(chosen(required, (slice(None), None)), progress.inside[:, None], tokens),
        progress.met[:, None],
    )
    lack_own = lacking(chosen(required, (slice(None), None)), after)
    best, token = largest(flat.at[row, at].set(NEVER, mode="drop"), min(beams * _each(marks), vocab))
    lack_best = lacking(required, Progress(jnp.zeros_like(progress.inside), progress.met))

    def joined(one: Array, other: Array) -> Array:
        return jnp.concatenate([one, other], axis=1).reshape(batch, -1)

    found = joined(best, own)
    lack = joined(jnp.broadcast_to(lack_best[:, None], best.shape), lack_own)
    parent = jnp.broadcast_to(jnp.arange(beams)[:, None], (beams, found.shape[1] // beams)).reshape(1, -1)
    place = _places(lack, found)
    preference = -(place * (room + 1) + lack).astype(jnp.float32)
    return Candidates(
        found,
        jnp.broadcast_to(parent, found.shape),
        joined(token.astype(jnp.int32), tokens),
        place < beams,
        jnp.where(found == NEVER, NEVER, preference),
    )


def _each(marks: Marks) -> int:
    """Returns how many candidates a beam has: enough that go on even where each could end by any mark."""
    return 1 + max(1, len(marks.eos))


def _places(bank: Int[Array, "B N"], scores: Float[Array, "B N"]) -> Int[Array, "B N"]:
    """Returns the number of better candidates in the bank of each."""
    order = jnp.lexsort((-scores, bank), axis=-1)
    number = jnp.broadcast_to(jnp.arange(bank.shape[1]), bank.shape)
    banks = jnp.take_along_axis(bank, order, axis=1)
    begins = jnp.diff(banks, axis=1, prepend=-1) != 0
    within = number - jax.lax.cummax(jnp.where(begins, number, 0), axis=1)
    return jnp.take_along_axis(within, jnp.argsort(order, axis=1), axis=1)
