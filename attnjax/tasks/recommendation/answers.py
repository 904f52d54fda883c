"""Answers of recommenders: items with scores, and the past items that each came from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from attnjax.config import InputError, require
from attnjax.data.interactions.log import InteractionLog
from attnjax.data.interactions.parts import Histories, before
from attnjax.models.recommender import Recommender
from attnjax.nn import Capture
from attnjax.tasks.base import Params, Prediction

NEW, KNOWN = "items:", "similar:"
"""The beginnings of lines that are no user: a history, or an item whose neighbours are asked for."""
DELETED = 64
"""Histories with one event less that are read together."""


class RankingQuestion(NamedTuple):
    """A question: the next items of a user, or after a history, or those like an item."""

    user: str | None = None
    history: tuple[int, ...] = ()
    similar: int | None = None


class Because(NamedTuple):
    """A past item beside an answer.

    Attributes:
      title: of the past item.
      attention: of the last event to it in the last layer, the mean over heads, which is the same for all
        answers of a user; in a Deep Interest Network of the answer to it. None without weights.
      effect: how much the score of the answer falls when the event is deleted from the history.
    """

    title: str
    attention: float | None
    effect: float

    def __str__(self) -> str:
        seen = "" if self.attention is None else f"attention {self.attention:.2f}, "
        return f"{self.title} ({seen}without it {-self.effect:+.2f})"


@dataclass(frozen=True)
class Recommended(Prediction):
    """One item of an answer."""

    item: str
    title: str
    score: float
    because: tuple[Because, ...] = ()

    @property
    def text(self) -> str:  # type: ignore[override]
        """The score and the title, and the past items whose deletion takes most from the score."""
        own = f"{self.score:.3f}  {self.title}"
        return f"{own}  ← {'; '.join(map(str, self.because))}" if self.because else own

    def record(self) -> dict[str, Any]:
        """Returns the item, its title and its score."""
        return {"item": self.item, "title": self.title, "score": self.score}


@dataclass(frozen=True)
class Answered(Prediction):
    """The best items of a question, or of a user without a history what is popular."""

    items: list[Recommended] = field(default_factory=list)
    note: str | None = None

    @property
    def text(self) -> str:  # type: ignore[override]
        """The note, where there is one, or the best item."""
        return self.note or (self.items[0].text if self.items else "no item is left to rank")

    def ranked(self) -> list[Prediction]:
        """Returns the items, after a note where there is one."""
        note: list[Prediction] = [] if self.note is None and self.items else [Note(self.text)]
        return [*note, *self.items]

    def record(self) -> dict[str, Any]:
        """Returns all items, and the note."""
        found: dict[str, Any] = {"items": [one.record() for one in self.items]}
        return found if self.note is None else {"note": self.note, **found}

    def details(self) -> dict[str, Any]:
        """Returns the past items of each answer with attention and effect."""
        return {"because": [[reason._asdict() for reason in one.because] for one in self.items]}


@dataclass(frozen=True)
class Note(Prediction):
    """A line that stands before an answer."""

    text: str


def read_question(task: Any, text: str) -> RankingQuestion:
    """Returns the question of a line. Raises InputError for an item that the task's log has not."""
    text = text.strip()
    for start in (NEW, KNOWN):
        if text.startswith(start):
            names = [name.strip() for name in text.removeprefix(start).split(",") if name.strip()]
            require(len(names) > 0, f"{text!r} has no item: expected {start} and names of items")
            items = tuple(number_of(task, name) for name in names)
            if start == NEW:
                return RankingQuestion(history=items)
            require(len(items) == 1, f"{text!r} has {len(items)} items: expected one")
            return RankingQuestion(similar=items[0])
    return RankingQuestion(user=text)


def number_of(task: Any, name: str) -> int:
    """Returns the number of an item. Raises InputError where the task's log has none of that name."""
    log: InteractionLog = task.log
    if name not in log.item_numbers:
        who, events = f"item {name!r}", task.report.lost_items.get(name)
        if events is not None:
            raise InputError(_too_few(who, events, "item_events", task.data.item_events))
        shown = ", ".join(log.item_names[:3])
        raise InputError(f"{who} was never seen: the log has {log.catalogue}, such as {shown}")
    return log.item_numbers[name]


def answered(task: Any, params: Params, inputs: Sequence[RankingQuestion]) -> list[Answered]:
    """Returns the answers of a `RecommendationTask`, by its settings `search`."""
    allowed = [number_of(task, name) for name in task.search.candidates]
    found = [_past(task, question) for question in inputs]
    histories = [past for past, _, _ in found if past is not None]
    scores: Iterator[np.ndarray] = iter(())
    if histories:
        joined = Histories(*(np.concatenate(column) for column in zip(*histories, strict=True)))
        scores = iter(task.infer(task.all_scores, params, task.examples.questions(*joined)))
    answers = []
    for question, (past, seen, cold) in zip(inputs, found, strict=True):
        if question.similar is not None:
            near = task.infer(task.similar, params, {"item": np.array([question.similar], np.int32)})[0]
            answers.append(Answered(_best(task, near, {question.similar}, allowed)))
            continue
        left_out = seen if task.search.exclude_seen else set()
        if past is None:
            note = f"{cold}: these are what was taken most often, and tell nothing of this one"
            counts = task.parts.counts().astype(np.float64)
            answers.append(Answered(_best(task, counts, left_out, allowed), note))
            continue
        own = next(scores)
        best = _best(task, own, left_out, allowed)
        explained = bool(task.search.because and best)
        answers.append(Answered(_explained(task, params, past, own, best) if explained else best))
    return answers


def _past(task: Any, question: RankingQuestion) -> tuple[Histories | None, set[int], str]:
    """Returns the history of a question, the items seen, and why there is no history where that is so."""
    if question.similar is not None:
        return None, set(), ""
    log, length = task.log, task.data.length - (0 if task.examples.causal else 1)
    if question.user is None:
        items = np.array(question.history, np.int32)
        own = InteractionLog(
            np.concatenate([items, items[:1]]),
            np.zeros(len(items) + 1),
            np.array([0, len(items), len(items) + 1]),
            ["", ""],
            log.item_names,
        )
        return before(own, np.array([0]), np.array([len(items)]), length), set(items.tolist()), ""
    if question.user not in log.user_numbers:
        who, events = f"user {question.user!r}", task.report.lost_users.get(question.user)
        if events is None:
            return None, set(), f"{who} has no event in the log"
        return None, set(), _too_few(who, events, "user_events", task.data.user_events)
    user = log.user_numbers[question.user]
    found = before(log, np.array([user]), log.starts[[user + 1]], length)
    return found, set(log.of_user(user).tolist()), ""


def _too_few(who: str, events: int, setting: str, least: int) -> str:
    """Returns why the log lacks a user or an item that its file has."""
    return f"{who} has {events} events in the log, of which fewer than data.{setting} ({least}) count"


def _best(task: Any, scores: np.ndarray, left_out: set[int], allowed: list[int]) -> list[Recommended]:
    log = task.log
    scores = np.array(scores, np.float64)
    if allowed:
        outside = np.ones(len(scores), bool)
        outside[allowed] = False
        scores[outside] = -np.inf
    scores[list(left_out)] = -np.inf
    order = np.argsort(-scores, kind="stable")[: task.search.k]
    return [
        Recommended(log.item_names[i], _title(task, i), float(scores[i]))
        for i in order.tolist()
        if np.isfinite(scores[i])
    ]


def _title(task: Any, item: int) -> str:
    name = task.log.item_names[item]
    title: str = task.titles.get(name, name)
    return title


def _explained(
    task: Any, params: Params, past: Histories, scores: np.ndarray, best: list[Recommended]
) -> list[Recommended]:
    """Returns the answers with the past items whose deletion changes each score most."""
    count = int(past.lengths[0])
    items, times = past.items[0], past.times[0]
    shape = (count, len(items))
    without = Histories(np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.full(count, count - 1))
    for place in range(count):
        for whole, own in ((items, without.items[place]), (times, without.times[place])):
            own[: count - 1] = np.delete(whole[:count], place)
    columns = [task.log.item_numbers[one.item] for one in best]
    lengths = without.lengths.astype(np.int32)
    effects = np.zeros((count, len(best)))
    if count > 1:  # Without its only event a history is none.
        arrays = task.examples.questions(without.items, without.times, lengths)
        deleted = task.infer(task.all_scores, params, arrays, rows=DELETED)
        effects = scores[columns] - deleted[:, columns]
    several = Histories(*(np.repeat(x, len(best), axis=0) for x in past))
    arrays = task.examples.questions(*several) | {"item": np.array(columns, np.int32)}
    attention = task.infer(task.attention, params, arrays)
    found = []
    for column, one in enumerate(best):
        order = np.argsort(-np.abs(effects[:, column]), kind="stable")[: task.search.because]
        because = tuple(
            Because(
                _title(task, int(items[place])),
                float(attention[column, place]) if attention.shape[1] else None,
                float(effects[place, column]),
            )
            for place in order
        )
        found.append(Recommended(one.item, one.title, one.score, because))
    return found


def last_states(model: Recommender, arrays: Mapping[str, jax.Array]) -> Float[Array, "B D"]:
    """Returns the vector of the last event of each history."""
    states = model(arrays["items"], lengths=arrays["lengths"], times=arrays["times"]).states
    last = jnp.maximum(arrays["lengths"] - 1, 0)[:, None, None]
    return jnp.take_along_axis(states, last, axis=1)[:, 0]


def cosines(table: Float[Array, "V D"], items: Int[Array, " B"]) -> Float[Array, "B V"]:
    """Returns the cosines of rows of a table with all rows."""
    table = table / jnp.maximum(jnp.linalg.norm(table, axis=-1, keepdims=True), 1e-12)
    return table[items] @ table.T


def attention_of_last(model: Recommender, arrays: Mapping[str, jax.Array]) -> Float[Array, "B T"]:
    """Returns the weights of the last event in the last layer, the mean over heads; [B, 0] without any."""
    last = len(model.blocks) - 1
    asked = Capture(layers=(last,))
    output = model(arrays["items"], lengths=arrays["lengths"], times=arrays["times"], capture=asked)
    weights = output.weights.get(f"blocks.{last}.attention")
    if weights is None:
        return jnp.zeros((len(arrays["items"]), 0))
    row = (arrays["lengths"] - 1)[:, None, None, None]
    return jnp.take_along_axis(weights, row, axis=2)[:, :, 0].mean(1)
