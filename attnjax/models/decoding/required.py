"""Phrases that a row has to have, and how far along in them it is."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

NO_TOKEN = -1
"""The number behind the last token of phrases."""


class Required(NamedTuple):
    """The phrases that each row of a batch has to have, form after form of phrase after phrase.

    Attributes:
      tokens: [B, C], `NO_TOKEN` behind the last one.
      first: [B, C], True where a form begins.
      behind: [B, C], the tokens of its form that come after each.
      phrase: [B, C], the number of the phrase that each is of; C behind the last one.
    """

    tokens: Int[Array, "*B C"]
    first: Bool[Array, "*B C"]
    behind: Int[Array, "*B C"]
    phrase: Int[Array, "*B C"]


class Progress(NamedTuple):
    """The progress of rows in their phrases.

    Attributes:
      inside: [R, C], True where a row ends in the beginning of a form up to this token.
      met: [R, C], True for all tokens of a phrase that a row has.
    """

    inside: Bool[Array, "*R C"]
    met: Bool[Array, "*R C"]

    @classmethod
    def none(cls, required: Required) -> "Progress":
        """Returns that of rows without a token."""
        nothing = jnp.zeros(required.tokens.shape, bool)
        return cls(nothing, nothing)

    def after(self, required: Required, token: Int[Array, "*R"]) -> "Progress":
        """Returns that of rows with one more token."""
        inside = followed(required, self.inside, token)
        whole = inside & (required.behind == 0)
        same = required.phrase[..., :, None] == required.phrase[..., None, :]
        return Progress(inside, self.met | jnp.any(same & whole[..., None, :], axis=-1))


def required(rows: Sequence[Sequence[Sequence[Sequence[int]]]], *, room: int | None = None) -> Required:
    """Returns the phrases that rows have to have, for `generate`. Only beams keep them.

    A row has a phrase when the tokens of one of its forms stand in it side by side, be it as a part of
    another phrase. For equal `room` programs are the same, whatever the phrases.

    Args:
      rows: for each row its phrases, each as one or more forms, each of one token or more.
      room: C, the tokens of all forms of a row; None: those of the row with the most.

    Raises:
      ValueError: A phrase or a form is empty, or there is less room.

    References:
      Post & Vilar, Fast Lexically Constrained Decoding with Dynamic Beam Allocation for Neural Machine
      Translation, 2018, arXiv:1804.06609.

    Example:
      >>> required([[[[5, 6]], [[7], [8, 9]]], []]).tokens.tolist()
      [[5, 6, 7, 8, 9], [-1, -1, -1, -1, -1]]
    """
    if not all(forms and all(map(len, forms)) for row in rows for forms in row):
        raise ValueError("required: a phrase is empty, expected 1 form or more of 1 token or more")
    needed = max((sum(len(form) for forms in row for form in forms) for row in rows), default=0) or 1
    room = needed if room is None else room
    if room < needed:
        raise ValueError(f"room {room}: expected {needed} or more, the tokens of the phrases of a row")
    tokens, first = np.full((len(rows), room), NO_TOKEN, np.int32), np.zeros((len(rows), room), bool)
    behind, phrase = np.zeros_like(tokens), np.full_like(tokens, room)
    for row, phrases in enumerate(rows):
        at = 0
        for number, forms in enumerate(phrases):
            for form in forms:
                place = slice(at, at + len(form))
                tokens[row, place], phrase[row, place] = form, number
                first[row, at], behind[row, place] = True, np.arange(len(form))[::-1]
                at += len(form)
    return Required(*map(jnp.asarray, (tokens, first, behind, phrase)))


def begun(required: Required, inside: Bool[Array, "*R C"]) -> Bool[Array, "*R C"]:
    """Returns the tokens that begin a form, or go on in one that a row ends in."""
    before = jnp.pad(inside[..., :-1], [(0, 0)] * (inside.ndim - 1) + [(1, 0)])
    return (required.tokens != NO_TOKEN) & (required.first | before)


def followed(required: Required, inside: Bool[Array, "*R C"], token: Int[Array, "*R"]) -> Bool[Array, "*R C"]:
    """Returns where in the phrases rows are after one more token."""
    return begun(required, inside) & (required.tokens == token[..., None])


def lacking(required: Required, progress: Progress) -> Int[Array, "*R"]:
    """Returns how many tokens of phrases rows lack: of each phrase those of the form that lacks the fewest.

    Example:
      >>> of = required([[[[5, 6]], [[7], [8, 9]]]])
      >>> at = Progress.none(of)
      >>> [int(lacking(of, at := at.after(of, jnp.array([token])))[0]) for token in (5, 6, 4, 8, 7)]
      [2, 1, 1, 1, 0]
    """
    size = required.tokens.shape[-1]
    cost = jnp.where(progress.inside, required.behind, size + 1)
    cost = jnp.minimum(cost, jnp.where(required.first, required.behind + 1, size + 1))
    cost = jnp.where(progress.met | (required.tokens == NO_TOKEN), 0, cost)
    # Each phrase lies below the one before it, so that the least so far is the least of its own.
    depth = required.phrase * (size + 2)
    least = jax.lax.cummin(jnp.broadcast_to(cost - depth, cost.shape), axis=cost.ndim - 1) + depth
    last = jnp.diff(required.phrase, axis=-1, append=-1) != 0
    return jnp.sum(jnp.where(last, least, 0), axis=-1)


def chosen(tree: Any, rows: Any) -> Any:
    """Returns the chosen rows of all arrays of a tree."""
    return jax.tree.map(lambda x: x[rows], tree)
