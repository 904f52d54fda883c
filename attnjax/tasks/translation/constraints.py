"""Phrases that translations have to have: their tokens, and whether the search leaves them room."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from attnjax.config import require
from attnjax.data.text.tokenizer import UNK, Tokenizer
from attnjax.models.decoding.required import required
from attnjax.models.decoding.rules import bounded
from attnjax.tasks.translation.config import SearchConfig
from attnjax.tasks.translation.search import forms_of, rules_of

ROOM = 16
"""Tokens of the phrases of a line, at most; where it has more, twice as many, four times, …"""

Forms = list[list[int]]
"""A phrase as tokens: as it begins a text, and behind a space."""


@dataclass(frozen=True)
class ConstrainedText:
    """A text to translate, and what its translation has to have.

    Attributes:
      text: the source.
      phrases: each stands in the translation, maybe inside of longer words.
      place: what errors begin with.
    """

    text: str
    phrases: tuple[str, ...] = ()
    place: str = ""


def constrained(given: "str | ConstrainedText") -> ConstrainedText:
    """Returns a text without constraints as one that has none.

    >>> constrained("ein Haus").phrases
    ()
    """
    return given if isinstance(given, ConstrainedText) else ConstrainedText(given)


def phrases_of(
    texts: Sequence[ConstrainedText],
    lengths: Int[np.ndarray, " B"],
    search: SearchConfig,
    tokenizer: Tokenizer,
    max_length: int,
) -> list[list[Forms]]:
    """Returns the tokens of the phrases of each text.

    Args:
      texts: with their phrases.
      lengths: tokens of the texts.
      search: the settings, with which phrases may be in conflict.
      tokenizer: of the target.
      max_length: of the tokens to emit, the end mark included.

    Raises:
      InputError: The search has one beam; a phrase has unknown tokens, or what the search bans; or the
        phrases of a text are longer than its translation may be.
    """
    if not any(one.phrases for one in texts):
        return [[] for _ in texts]
    rules, prefix = rules_of(search, tokenizer), tokenizer.encode([search.prefix])[0]
    most = np.asarray(bounded(rules, jnp.asarray(lengths), None, max_length).most)
    found = []
    for one, room in zip(texts, most.tolist(), strict=True):
        require(
            not one.phrases or search.beams > 1,
            f"{one.place}search.beams is {search.beams}: constraints need 2 or more",
        )
        forms = [_forms(phrase, one.place, search, tokenizer, rules.banned) for phrase in one.phrases]
        lacking = [own for own in forms if not any(_holds(prefix, form) for form in own)]
        needed = len(prefix) + sum(min(map(len, own)) for own in lacking)
        require(
            not forms or needed <= room,
            f"{one.place}the constraints side by side make {needed} tokens, a translation has at most {room}",
        )
        found.append(forms)
    return found


def room_of(phrases: Sequence[Forms]) -> int:
    """Returns the tokens for which the program of a text has room, by its own phrases alone; 0 without any.

    >>> room_of([]), room_of([[[5, 6], [7]]]), room_of([[[5] * 17]])
    (0, 16, 32)
    """
    needed, room = sum(len(form) for forms in phrases for form in forms), ROOM
    while 0 < room < needed:
        room *= 2
    return room if needed else 0


def arrays_of(phrases: Sequence[Sequence[Forms]], room: int) -> dict[str, np.ndarray]:
    """Returns the arrays of `Required` by their names, for `searching`; none where there is no room."""
    if not room:
        return {}
    return {f"required_{name}": np.asarray(x) for name, x in required(phrases, room=room)._asdict().items()}


def _forms(
    phrase: str, place: str, search: SearchConfig, tokenizer: Tokenizer, banned: Sequence[Sequence[int]]
) -> Forms:
    forms = forms_of(tokenizer, phrase)
    require(
        bool(forms) and not any(UNK in form for form in forms),
        f"{place}the constraint {phrase!r} has tokens that the run does not know",
    )
    inside = [text for text in search.ban if text in phrase]
    kept = [form for form in forms if not any(_holds(form, sequence) for sequence in banned)]
    require(
        bool(kept) and not inside,
        f"{place}the constraint {phrase!r} has what search.ban forbids: {', '.join(inside or search.ban)}",
    )
    return kept


def _holds(tokens: Sequence[int], part: Sequence[int]) -> bool:
    size = len(part)
    return any(list(tokens[i : i + size]) == list(part) for i in range(len(tokens) - size + 1))
