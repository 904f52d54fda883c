"""Beam search: the likeliest whole sequences that a search of limited width finds."""

from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from attnjax.models.decoding.candidates import NEVER, banked, likeliest
from attnjax.models.decoding.loop import Decodable, Emitted, Marks, Start, ends
from attnjax.models.decoding.penalties import CoverageForm, LengthForm, coverage_penalty, length_penalty
from attnjax.models.decoding.required import Progress, chosen
from attnjax.models.decoding.rules import Bound
from attnjax.nn.attention.cache import among_beams
from attnjax.ops.core.node import PytreeNode, static


def beams(
    count: int,
    *,
    length_penalty: float = 1.0,
    form: LengthForm = "power",
    coverage: CoverageForm | None = None,
    beta: float = 0.0,
    best: int | None = None,
    early: bool | Literal["never"] = False,
) -> "Beams":
    """Returns the strategy that keeps the `count` likeliest beginnings of each row and returns the best ends.

    A sequence of n tokens, its end mark included, has the score log p / n^length_penalty, or what `form` and
    `coverage` make of it. As in transformers, a row is done when its best running beam, with the length of
    now, scores no more than the worst of its `best` finished ones.

    Args:
      count: of the beams of a row.
      length_penalty: above 0 favours long sequences, below 0 short ones.
      form: of the length penalty: "gnmt" for ((5 + n) / 6)^length_penalty. OpenNMT-py counts the begin mark
        too, so that its n is greater by one.
      coverage: the penalty, times beta, of what the last layer's cross-attention leaves out ("wu") or reads
        again ("summary"), taken off when a sequence ends, as OpenNMT-py does without stepwise penalty.
      beta: of the coverage penalty, 0 or more.
      best: of finished sequences that are kept; None: `count`.
      early: True: a row is done as soon as `best` sequences have ended. "never": only when no running beam
        can still reach the worst of them, whatever its length: an upper bound, so that the search is exact.

    Raises:
      ValueError: The count is below 1, `best` is not in 1 to `count`, beta is negative, or a name is another.

    References:
      Wu et al., Google's Neural Machine Translation System, 2016, arXiv:1609.08144 (section 7).

    Example:
      >>> beams(4, length_penalty=0.6, early="never")
      beams(4, 0.6, power, 0.0, 4, never)
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"beams {count!r}: expected a whole number, 1 or more")
    best = count if best is None else best
    if isinstance(best, bool) or not isinstance(best, int) or not 1 <= best <= count:
        raise ValueError(f"best {best!r}: expected a whole number from 1 to the {count} beams")
    names: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "form": (form, ("power", "gnmt")),
        "coverage": (coverage, (None, "summary", "wu")),
        "early": (early, (True, False, "never")),
    }
    for name, (value, expected) in names.items():
        if value not in expected:
            raise ValueError(f"{name} {value!r}: expected one of {', '.join(map(repr, expected))}")
    if not beta >= 0:
        raise ValueError(f"beta {beta!r}: expected 0 or more")
    return Beams(count, length_penalty, form, coverage, beta, best, early)


class Ranked(NamedTuple):
    """The finished sequences of each row, the best first; where there are fewer, scores are -inf.

    Attributes:
      tokens: [B, N, L].
      scores: [B, N].
    """

    tokens: Int[Array, "B N L"]
    scores: Float[Array, "B N"]


class BeamState(NamedTuple):
    """The state of beam search.

    Attributes:
      emitted: of the beams that run, [B·K, L]; those of a row are done together.
      scores: [B, K], the sums of their log probabilities.
      last: [B·K], the token of each before the next one.
      cache: of the model, for B·K rows.
      ended: [B, N, L], sequences that have ended, the best first.
      ended_scores: [B, N].
      bound: the rules of the beams that run; None for none.
      progress: in the phrases that the beams have to have; None for none.
      coverage: [B·K, S], how much of each source position they have read; None where nobody asks.
      present: [B·K, S], the positions that are no padding; None likewise.
    """

    emitted: Emitted
    scores: Float[Array, "B K"]
    last: Int[Array, " B*K"]
    cache: PyTree
    ended: Int[Array, "B N L"]
    ended_scores: Float[Array, "B N"]
    bound: Bound | None
    progress: Progress | None
    coverage: Float[Array, "B*K S"] | None
    present: Bool[Array, "B*K S"] | None


class Beams(PytreeNode):
    """The strategy that `beams` returns."""

    beams: int = static()
    length_penalty: Any
    form: LengthForm = static()
    coverage: CoverageForm | None = static()
    beta: Any
    kept: int = static()
    early: bool | Literal["never"] = static()

    random: ClassVar[bool] = False
    streams: ClassVar[bool] = False
    ruled: ClassVar[bool] = True

    def begin(self, model: Decodable, start: Start) -> BeamState:
        """Returns the state before the first token: of equal beams only the first counts."""
        batch, beams = start.inputs.shape[0], self.beams
        last, cache = model.start(start.inputs, start.lengths, bos=start.bos, room=start.length)
        cache, last = jax.tree.map(lambda x: jnp.repeat(x, beams, axis=0), (cache, last.astype(jnp.int32)))
        # Of a dtype of their own, as they are after a step: else that is another program.
        scores = jnp.where(jnp.arange(beams) == 0, jnp.float32(0.0), jnp.float32(NEVER))
        coverage = present = None
        if self.coverage is not None:
            if not hasattr(model, "attend"):
                raise ValueError(f"coverage {self.coverage!r}: {type(model).__name__} has no source to cover")
            if start.inputs.ndim != 2:
                raise ValueError(f"coverage {self.coverage!r}: the source is images, expected tokens")
            width = start.inputs.shape[1]
            present = jnp.repeat(jnp.arange(width)[None] < start.lengths[:, None], beams, axis=0)
            coverage = jnp.zeros(present.shape, jnp.float32)
        bound = None if start.bound is None else start.bound.repeated(beams)
        return BeamState(
            Emitted.none(batch * beams, start.length, start.marks),
            jnp.broadcast_to(scores, (batch, beams)),
            last,
            cache,
            jnp.full((batch, self.kept, start.length), start.marks.pad),
            jnp.full((batch, self.kept), NEVER, jnp.float32),
            bound,
            None if bound is None or bound.required is None else Progress.none(bound.required),
            coverage,
            present,
        )

    def advance(self, model: Decodable, state: BeamState, marks: Marks) -> BeamState:
        """Returns the state with one more token in each beam."""
        batch, beams = state.scores.shape
        logits, cache, coverage = self._extended(model, state)
        vocab = logits.shape[-1]
        scores = jax.nn.log_softmax(logits.astype(jnp.float32))
        bound, progress = state.bound, state.progress
        if bound is not None:
            given = state.emitted.tokens, state.emitted.length
            scores = bound.applied(scores, *given, marks, progress=progress)
        scores = scores.reshape(batch, beams, vocab) + state.scores[..., None]
        if progress is None:
            found = likeliest(scores, marks)
        else:
            assert bound is not None
            assert bound.required is not None
            found = banked(scores, marks, bound.required, progress)
        step = state.emitted.length.reshape(batch, beams)[:, 0]
        most = state.ended.shape[-1]
        before = state.emitted.tokens.reshape(batch, beams, most)

        def texts(places: Array) -> Array:
            own, token = _rows(before, _rows(found.parent, places)), _rows(found.token, places)
            return jnp.where(jnp.arange(most)[None, None] == step[:, None, None], token[..., None], own)

        done = state.emitted.done.reshape(batch, beams)[:, :1]
        ended = ends(found.token, marks) | (step[:, None] + 1 >= most)
        ranks = found.scores / self._penalty(step[:, None] + 1)
        if coverage is not None:
            assert state.present is not None
            assert self.coverage is not None
            lacking = coverage_penalty(coverage, state.present, self.coverage).reshape(batch, beams)
            ranks = ranks - self.beta * _rows(lacking, found.parent)
        ranks, best = jax.lax.top_k(jnp.where(ended & found.high & ~done, ranks, NEVER), beams)
        finished = jnp.concatenate([state.ended_scores, ranks], axis=1)
        candidates = jnp.concatenate([state.ended, texts(best)], axis=1)
        ended_scores, best = jax.lax.top_k(finished, self.kept)
        ended_texts = _rows(candidates, best)

        _, best = jax.lax.top_k(jnp.where(ended, NEVER, found.preference), beams)
        running = _rows(jnp.where(ended, NEVER, found.scores), best)
        rows = (jnp.arange(batch)[:, None] * beams + _rows(found.parent, best)).reshape(-1)
        token = _rows(found.token, best).reshape(-1)
        # A row that is done stays as it is; its beams go on, and nobody looks at them.
        emitted = Emitted(
            texts(best).reshape(-1, most),
            state.emitted.length + (~state.emitted.done).astype(jnp.int32),
            jnp.repeat(done[:, 0] | self._over(running, ended_scores, step + 1, _room(state)), beams),
        )
        if progress is not None and bound is not None and bound.required is not None:
            progress = chosen(progress, rows).after(bound.required, token)
        cache, coverage = among_beams(cache, rows), chosen(coverage, rows)
        return state._replace(
            emitted=emitted,
            scores=running,
            last=token,
            cache=cache,
            ended=ended_texts,
            ended_scores=ended_scores,
            progress=progress,
            coverage=coverage,
        )

    def best(self, state: BeamState) -> tuple[Int[Array, "B L"], Float[Array, " B"]]:
        """Returns the tokens and the score of each row's best sequence."""
        return state.ended[:, 0], state.ended_scores[:, 0]

    def ranked(self, state: BeamState) -> Ranked:
        """Returns the sequences that are kept of each row."""
        return Ranked(state.ended, state.ended_scores)

    def _extended(self, model: Any, state: BeamState) -> tuple[Array, PyTree, Array | None]:
        """Returns the logits of each beam's next token, its cache and, where it counts, its coverage."""
        if state.coverage is None:
            logits, cache, _ = model.extend(state.last[:, None], state.cache)
            return logits[:, 0], cache, None
        logits, cache, weights = model.attend(state.last[:, None], state.cache)
        return logits[:, 0], cache, state.coverage + weights[:, 0].astype(jnp.float32)

    def _penalty(self, length: Int[Array, "*B"] | int) -> Float[Array, "*B"]:
        return length_penalty(length, self.length_penalty, self.form)

    def _over(
        self,
        running: Float[Array, "B K"],
        ended: Float[Array, "B N"],
        step: Int[Array, " B"],
        most: Int[Array, " B"],
    ) -> Bool[Array, " B"]:
        full = ended[:, -1] > NEVER
        penalty = self._penalty(step)
        if self.early == "never":
            # A beam only loses probability, and coverage costs something or nothing. By its length the
            # penalty grows or falls, so that it is greatest at the one end or the other.
            penalty = jnp.maximum(self._penalty(step + 1), self._penalty(most))
        best = running.max(axis=1)
        hope = best / penalty
        over = full & ((hope <= ended[:, -1]) | (self.early is True))
        return over | (step >= most) | (best == NEVER)


def _room(state: BeamState) -> Int[Array, " B"]:
    """Returns the most tokens that a sequence of each row can have, its end mark included."""
    batch, _, most = state.ended.shape
    if state.bound is None:
        return jnp.full((batch,), most)
    return jnp.minimum(state.bound.most.reshape(batch, -1)[:, 0] + 1, most)


def _rows(x: Array, index: Int[Array, "B J"]) -> Array:
    """Returns the entries of axis 1 that each row chooses."""
    return jnp.take_along_axis(x, index.reshape(*index.shape, *(1,) * (x.ndim - 2)), axis=1)
