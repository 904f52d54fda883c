"""Beam search: the likeliest whole sequences that a search of limited width finds."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from attnjax.models.decoding.loop import Decodable, Emitted, Marks, Start, ends
from attnjax.ops.core.node import PytreeNode, static

NEVER = -jnp.inf
"""The score of a beam that does not count."""


def beams(count: int, *, length_penalty: float = 1.0, early: bool = False) -> "Beams":
    """Returns the strategy that keeps the `count` likeliest beginnings of each row and returns the best end.

    A sequence of n tokens, its end mark included, has the score log p / n^length_penalty. As in transformers,
    a row is done when its best running beam, with the length of now, scores no more than its worst finished
    one.

    Args:
      count: of the beams of a row.
      length_penalty: above 0 favours long sequences, below 0 short ones.
      early: whether a row is done as soon as `count` sequences have ended.

    Raises:
      ValueError: The count is below 1.

    References:
      Wu et al., Google's Neural Machine Translation System, 2016, arXiv:1609.08144 (section 7).

    Example:
      >>> beams(4, length_penalty=0.6)
      beams(4, 0.6, False)
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"beams {count!r}: expected a whole number, 1 or more")
    return Beams(count, length_penalty, early)


class BeamState(NamedTuple):
    """The state of beam search.

    Attributes:
      emitted: of the beams that run, [B·K, L]; those of a row are done together.
      scores: [B, K], the sums of their log probabilities.
      last: [B·K], the token of each before the next one.
      cache: of the model, for B·K rows.
      ended: [B, K, L], sequences that have ended, the best first.
      ended_scores: [B, K].
    """

    emitted: Emitted
    scores: Float[Array, "B K"]
    last: Int[Array, " B*K"]
    cache: PyTree
    ended: Int[Array, "B K L"]
    ended_scores: Float[Array, "B K"]


class Beams(PytreeNode):
    """The strategy that `beams` returns."""

    beams: int = static()
    length_penalty: Any
    early: bool = static()

    random: ClassVar[bool] = False
    streams: ClassVar[bool] = False

    def begin(self, model: Decodable, start: Start) -> BeamState:
        """Returns the state before the first token: of equal beams only the first counts."""
        batch, beams = start.inputs.shape[0], self.beams
        last, cache = model.start(start.inputs, start.lengths, bos=start.bos, room=start.length)
        cache, last = jax.tree.map(lambda x: jnp.repeat(x, beams, axis=0), (cache, last.astype(jnp.int32)))
        scores = jnp.where(jnp.arange(beams) == 0, 0.0, NEVER)
        return BeamState(
            Emitted.none(batch * beams, start.length, start.marks),
            jnp.broadcast_to(scores, (batch, beams)),
            last,
            cache,
            jnp.full((batch, beams, start.length), start.marks.pad),
            jnp.full((batch, beams), NEVER),
        )

    def advance(self, model: Decodable, state: BeamState, marks: Marks) -> BeamState:
        """Returns the state with one more token in each beam."""
        batch, beams = state.scores.shape
        logits, cache, _ = model.extend(state.last[:, None], state.cache)
        vocab = logits.shape[-1]
        scores = jax.nn.log_softmax(logits[:, 0].astype(jnp.float32)).reshape(batch, beams, vocab)
        scores = (scores + state.scores[..., None]).reshape(batch, beams * vocab)
        # So many that even where each beam could end by any mark, enough are left that go on.
        scores, chosen = jax.lax.top_k(scores, min(beams * (1 + max(1, len(marks.eos))), beams * vocab))
        parent, token = chosen // vocab, (chosen % vocab).astype(jnp.int32)
        step = state.emitted.length.reshape(batch, beams)[:, 0]
        most = state.ended.shape[-1]
        texts = _rows(state.emitted.tokens.reshape(batch, beams, most), parent)
        texts = jnp.where(jnp.arange(most)[None, None] == step[:, None, None], token[..., None], texts)
        done = state.emitted.done.reshape(batch, beams)[:, :1]
        ended = ends(token, marks) | (step[:, None] + 1 >= most)

        counts = ended & (jnp.arange(scores.shape[1]) < beams)[None] & ~done
        finished = jnp.where(
            counts, scores / (step[:, None].astype(jnp.float32) + 1) ** self.length_penalty, NEVER
        )
        finished = jnp.concatenate([state.ended_scores, finished], axis=1)
        ended_scores, best = jax.lax.top_k(finished, beams)
        ended_texts = _rows(jnp.concatenate([state.ended, texts], axis=1), best)

        running, best = jax.lax.top_k(jnp.where(ended, NEVER, scores), beams)
        parent, token = _rows(parent, best), _rows(token, best)
        rows = (jnp.arange(batch)[:, None] * beams + parent).reshape(-1)
        # A row that is done stays as it is; its beams go on, and nobody looks at them.
        emitted = Emitted(
            _rows(texts, best).reshape(-1, most),
            state.emitted.length + (~state.emitted.done).astype(jnp.int32),
            jnp.repeat(done[:, 0] | self._over(running, ended_scores, step + 1, most), beams),
        )
        cache = jax.tree.map(lambda x: x[rows], cache)
        return BeamState(emitted, running, token.reshape(-1), cache, ended_texts, ended_scores)

    def best(self, state: BeamState) -> tuple[Int[Array, "B L"], Float[Array, " B"]]:
        """Returns the tokens and the score of each row's best sequence."""
        return state.ended[:, 0], state.ended_scores[:, 0]

    def _over(
        self, running: Float[Array, "B K"], ended: Float[Array, "B K"], step: Int[Array, " B"], most: int
    ) -> Bool[Array, " B"]:
        full = ended[:, -1] > NEVER
        hope = running[:, 0] / step.astype(jnp.float32) ** self.length_penalty
        over = full & ((hope <= ended[:, -1]) | self.early)
        return over | (step >= most)


def _rows(x: Array, index: Int[Array, "B J"]) -> Array:
    """Returns the entries of axis 1 that each row chooses."""
    return jnp.take_along_axis(x, index.reshape(*index.shape, *(1,) * (x.ndim - 2)), axis=1)
