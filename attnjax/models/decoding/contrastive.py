"""Contrastive search: likely tokens that do not repeat what their context says."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from attnjax.models.decoding.loop import Decodable, Emitted, Marks, Start
from attnjax.nn import Capture
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.core.largest import largest
from attnjax.ops.core.node import PytreeNode, static


def contrastive_search(candidates: int = 4, *, penalty: float = 0.6) -> "ContrastiveSearch":
    """Returns the strategy that takes the candidate v with the largest (1-α)·p(v) - α·max_j cos(h_v, h_j).

    p is the distribution of the next token, h_v the last hidden vector of the candidate as the next token,
    and h_j those of the tokens before it. A step computes all candidates at once, for which it copies the
    cache; the prompt is read twice.

    Args:
      candidates: how many of the likeliest tokens are tried.
      penalty: α, in [0, 1]; 0 is greedy.

    Raises:
      ValueError: A number is out of its range.

    References:
      Su et al., A Contrastive Framework for Neural Text Generation, 2022, arXiv:2202.06417.

    Example:
      >>> contrastive_search(4, penalty=0.5)
      contrastive_search(4, 0.5)
    """
    if isinstance(candidates, bool) or not isinstance(candidates, int) or candidates < 1:
        raise ValueError(f"candidates {candidates!r}: expected a whole number, 1 or more")
    if not 0 <= penalty <= 1:
        raise ValueError(f"penalty {penalty!r}: expected a number in [0, 1]")
    return ContrastiveSearch(candidates, penalty)


class Contrast(NamedTuple):
    """The state of contrastive search.

    Attributes:
      emitted: the tokens so far.
      logits: of the next token.
      cache: of the model, of all tokens so far.
      context: the last hidden vectors, of length 1, of all tokens so far.
      filled: which of them there are.
    """

    emitted: Emitted
    logits: Float[Array, "B V"]
    cache: PyTree
    context: Float[Array, "B S D"]
    filled: Bool[Array, "B S"]


class ContrastiveSearch(PytreeNode):
    """The strategy that `contrastive_search` returns."""

    candidates: int = static()
    penalty: Any

    random: ClassVar[bool] = False
    streams: ClassVar[bool] = True
    ruled: ClassVar[bool] = False

    def begin(self, model: Decodable, start: Start) -> Contrast:
        """Returns the state before the first token."""
        batch = start.inputs.shape[0]
        last, cache = model.start(start.inputs, start.lengths, bos=start.bos, room=start.length + 1)
        logits, cache, hidden = model.extend(last.astype(jnp.int32)[:, None], cache)
        filled = jnp.ones((batch, 1), bool)
        if model.continues:
            hidden = _hidden(model, start.inputs, start.lengths)
            filled = jnp.arange(start.inputs.shape[1])[None] < start.lengths[:, None]
        room = ((0, 0), (0, start.length))
        return Contrast(
            Emitted.none(batch, start.length, start.marks),
            logits[:, 0],
            cache,
            jnp.pad(_unit(hidden), (*room, (0, 0))),
            jnp.pad(filled, room),
        )

    def advance(self, model: Decodable, state: Contrast, marks: Marks) -> Contrast:
        """Returns the state with one more token."""
        batch, most = state.emitted.tokens.shape
        count = min(self.candidates, state.logits.shape[-1])
        p, tokens = largest(jax.nn.softmax(state.logits, axis=-1), count)
        each = jax.tree.map(lambda x: jnp.repeat(x, count, axis=0), state.cache)
        logits, cache, hidden = model.extend(tokens.reshape(-1, 1).astype(jnp.int32), each)
        hidden = _unit(hidden).reshape(batch, count, -1)
        likeness = jnp.einsum("bkd,bsd->bks", hidden, state.context)
        likeness = jnp.max(likeness, axis=-1, where=state.filled[:, None], initial=-1.0)
        best = jnp.argmax((1 - self.penalty) * p - self.penalty * likeness, axis=-1)
        row = jnp.arange(batch)
        # New vectors come after the places of the prompt.
        place = state.context.shape[1] - most + state.emitted.length
        return Contrast(
            state.emitted.add(tokens[row, best].astype(jnp.int32), marks),
            logits[row * count + best, 0],
            jax.tree.map(lambda x: x[row * count + best], cache),
            state.context.at[row, place].set(hidden[row, best], mode="drop"),
            state.filled.at[row, place].set(True, mode="drop"),
        )

    def best(self, state: Contrast) -> tuple[Int[Array, "B L"], None]:
        """Returns the tokens of each row; they have no score."""
        return state.emitted.tokens, None


def _hidden(model: Any, inputs: Array, lengths: Array) -> Float[Array, "B S D"]:
    return model(inputs, lengths=lengths, capture=Capture(layers=(), hidden=True)).hidden["norm"]


def _unit(x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
    x = x.astype(accumulation_dtype(x))
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)
