"""The choice of one token after another: the likeliest, or one that is drawn."""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from attnjax.models.decoding import logits as change
from attnjax.models.decoding.loop import Decodable, Emitted, Marks, Start
from attnjax.models.decoding.rules import Bound
from attnjax.ops.core.argmax import argmax
from attnjax.ops.core.node import PytreeNode, static
from attnjax.ops.core.ranks import of_rank


class Walk(NamedTuple):
    """The state of one sequence for each row.

    Attributes:
      emitted: the tokens so far.
      last: the token before the next one.
      cache: of the model, of the tokens before `last`.
      seen: the tokens that stand before the next one; None where nobody asks.
      keys: of the rows.
      bound: the rules of the rows; None for none.
    """

    emitted: Emitted
    last: Int[Array, " B"]
    cache: PyTree
    seen: Bool[Array, "B V"] | None
    keys: PyTree
    bound: Bound | None


def greedy(*, repetition_penalty: float | None = None) -> "Greedy":
    """Returns the strategy that takes the likeliest token at each step.

    Args:
      repetition_penalty: above 1 makes tokens less likely that stand in the prompt or were emitted.

    Raises:
      ValueError: The penalty is not above 0.

    Example:
      >>> greedy()
      greedy()
    """
    _require("repetition_penalty", repetition_penalty, "above 0", lambda x: x > 0)
    return Greedy(repetition_penalty)


def sampling(
    *,
    repetition_penalty: float | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
) -> "Sampling":
    """Returns the strategy that draws from what changes of the logits leave, in the order of the arguments.

    A row's tokens depend on its key and on nothing else of the batch. Numbers are traced: other ones need no
    other program, but for `top_k`.

    Args:
      repetition_penalty: above 1 makes tokens less likely that stand in the prompt or were emitted.
      temperature: above 0; below 1 makes likely tokens likelier.
      top_k: keeps so many of the likeliest tokens.
      top_p: keeps the fewest likeliest tokens that have this share of the probability, in (0, 1].
      min_p: keeps tokens at least this share as likely as the likeliest, in [0, 1].

    Raises:
      ValueError: A number is out of its range.

    References:
      Those of `attnjax.models.decoding.logits`.

    Example:
      >>> sampling(temperature=0.7, top_k=50).top_k
      50
    """
    _require("repetition_penalty", repetition_penalty, "above 0", lambda x: x > 0)
    _require("temperature", temperature, "above 0", lambda x: x > 0)
    _require("top_k", top_k, "a whole number, 1 or more", lambda x: isinstance(x, int) and x >= 1)
    _require("top_p", top_p, "in (0, 1]", lambda x: 0 < x <= 1)
    _require("min_p", min_p, "in [0, 1]", lambda x: 0 <= x <= 1)
    return Sampling(repetition_penalty, temperature, top_k, top_p, min_p)


class OneByOne(PytreeNode):
    """A strategy that adds one token to each row at each step."""

    repetition_penalty: Any

    random: ClassVar[bool] = False
    streams: ClassVar[bool] = True
    ruled: ClassVar[bool] = True

    def begin(self, model: Decodable, start: Start) -> Walk:
        """Returns the state before the first token."""
        emitted = Emitted.none(start.inputs.shape[0], start.length, start.marks)
        last, cache = model.start(start.inputs, start.lengths, bos=start.bos, room=start.length)
        last = last.astype(jnp.int32)
        seen = None if self.repetition_penalty is None else _seen(model, start, last, cache)
        return Walk(emitted, last, cache, seen, start.keys, start.bound)

    def advance(self, model: Decodable, state: Walk, marks: Marks) -> Walk:
        """Returns the state with one more token."""
        logits, cache, _ = model.extend(state.last[:, None], state.cache)
        logits = logits[:, 0]
        if state.bound is not None:
            logits = state.bound.applied(logits, state.emitted.tokens, state.emitted.length, marks)
        token = self.choose(self.changed(logits, state.seen), state)
        emitted = state.emitted.add(token, marks)
        last = jnp.where(state.emitted.done, marks.pad, token)
        seen = None if state.seen is None else state.seen | _one_hot(token, logits.shape[-1])
        return Walk(emitted, last, cache, seen, state.keys, state.bound)

    def best(self, state: Walk) -> tuple[Int[Array, "B L"], None]:
        """Returns the tokens of each row; they have no score."""
        return state.emitted.tokens, None

    def changed(self, logits: Float[Array, "*B V"], seen: Bool[Array, "*B V"] | None) -> Float[Array, "*B V"]:
        """Returns the logits, -inf where a token is ruled out."""
        return logits if seen is None else change.repetition_penalty(logits, seen, self.repetition_penalty)

    def choose(self, logits: Float[Array, "B V"], state: Walk) -> Int[Array, " B"]:
        """Returns a token for each row."""
        raise NotImplementedError


class Greedy(OneByOne):
    """The strategy that `greedy` returns."""

    def choose(self, logits: Float[Array, "B V"], state: Walk) -> Int[Array, " B"]:
        """Returns the likeliest token of each row, the first of equals."""
        return argmax(logits)


class Sampling(OneByOne):
    """The strategy that `sampling` returns."""

    temperature: Any
    top_k: int | None = static()
    top_p: Any
    min_p: Any

    random = True

    def changed(self, logits: Float[Array, "*B V"], seen: Bool[Array, "*B V"] | None) -> Float[Array, "*B V"]:
        """Returns the logits, -inf where a token is ruled out."""
        logits = super().changed(logits, seen)
        changes = (
            (change.temperature, self.temperature),
            (change.top_k, self.top_k),
            (change.top_p, self.top_p),
            (change.min_p, self.min_p),
        )
        for function, number in changes:
            logits = logits if number is None else function(logits, number)
        return logits

    def choose(self, logits: Float[Array, "B V"], state: Walk) -> Int[Array, " B"]:
        """Returns a token of each row, drawn by the row's key and the number of its tokens."""
        keys = jax.vmap(jax.random.fold_in)(state.keys, state.emitted.length)
        return jax.vmap(jax.random.categorical)(keys, logits).astype(jnp.int32)


def _seen(model: Decodable, start: Start, last: Array, cache: Any) -> Bool[Array, "B V"]:
    """Returns the tokens that stand before the first one: those of the prompt, or the begin mark."""
    vocab = jax.eval_shape(model.extend, last[:, None], cache)[0].shape[-1]
    if not model.continues:
        return _one_hot(last, vocab)
    token = jnp.arange(start.inputs.shape[1])[None] < start.lengths[:, None]
    return jnp.any(_one_hot(start.inputs, vocab) & token[..., None], axis=1)


def _one_hot(tokens: Int[Array, "*B"], vocab: int) -> Bool[Array, "*B V"]:
    return tokens[..., None] == of_rank(jnp.arange(vocab), tokens.ndim + 1)


def _require(name: str, value: Any, expected: str, holds: Callable[[Any], bool]) -> None:
    if value is not None and (isinstance(value, bool) or not holds(value)):
        raise ValueError(f"{name} {value!r}: expected {expected}")
