"""The generation of tokens by a model, all at once or piece by piece."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.models.decoding.alignment import forced
from attnjax.models.decoding.beams import Beams, Ranked
from attnjax.models.decoding.loop import Decodable, Marks, Strategy, Structure, begin, ends, proceed
from attnjax.models.decoding.required import Required
from attnjax.models.decoding.rules import Bound, Rules, bounded
from attnjax.models.decoding.rules import rules as no_rules
from attnjax.models.decoding.sampling import greedy
from attnjax.models.decoding.tiles import in_tiles
from attnjax.models.output import Weights
from attnjax.nn import Capture
from attnjax.nn.attention.placing import shifted


class Decoded(NamedTuple):
    """Emitted tokens.

    Attributes:
      tokens: [B, L]: `lengths` of them, then the end mark (unless cut off), then padding.
      lengths: [B].
      scores: [B], where the strategy has such, as beams have.
      weights: those that a capture asked for, by the path of their layer; None where none was given.
      ranked: the best sequences of each row, where beams were searched.
    """

    tokens: Int[Array, "B L"]
    lengths: Int[Array, " B"]
    scores: Float[Array, " B"] | None
    weights: Weights | None
    ranked: Ranked | None = None


def generate(
    model: Decodable,
    inputs: Int[Array, "B S"],
    lengths: Int[Array, " B"],
    *,
    strategy: Strategy | None = None,
    bos: int | None = None,
    eos: int | Sequence[int],
    pad: int,
    max_length: int,
    padding: Literal["right", "left"] = "right",
    key: Array | None = None,
    tile: tuple[int, int] | None = None,
    capture: Capture | None = None,
    rules: Rules | None = None,
    prefix: Int[Array, "B P"] | None = None,
    required: Required | None = None,
) -> Decoded:
    """Emits tokens until every row has ended, in one compiled loop.

    Rows do not depend on each other: a row gives what it gives alone, whatever its padding. Products of other
    shapes round differently, though, so that one of two tokens that are as likely up to the last digits may
    turn into the other; with a tile there is one shape, and a row's tokens and the bits behind them are the
    same in every batch.

    Args:
      model: an encoder-decoder, which reads the inputs, or a decoder-only model, which continues them.
      inputs: sources or prompts; images [B, Y, X, C] or frames of sound [B, S, F] for models of such.
      lengths: the tokens of each of them, without padding, or the patches of each image, or the vectors of
        its frames; 1 or more.
      strategy: `greedy()`, `sampling(…)`, `beams(…)`, …; None: greedy.
      bos: the token that begins a row; a decoder-only model needs none.
      eos: the token that ends a row, or several.
      pad: the token that fills up a row.
      max_length: L, of emitted tokens, the end mark included.
      padding: the side of the inputs on which their padding is.
      key: of jax.random, for a strategy that draws: one for each row [B], or one, of which row i takes
        `fold_in(key, i)`.
      tile: (rows, width): so many rows are computed at a time, with inputs of this width (that of images and
        frames is their own, S or Y), whatever their number and theirs. A row that ends gives its place to
        the next. It costs the time of that many rows, and is not for use inside jit.
      capture: weights of an encoder-decoder's decoder to return; row t belongs to the step that emitted
        token t.
      rules: of what may be emitted, for a strategy that keeps them, as greedy, sampling and beams do.
      prefix: tokens that a row begins with, -1 where any may stand; for such a strategy.
      required: phrases that rows have to have, for beams; a row for which the search finds no such sequence
        has the score -inf, and its tokens mean nothing.

    Raises:
      ValueError: max_length is not positive, or more than there are learned positions; the capture is out of
        range, or the model has no encoder; there is no bos or key where one is needed; shapes do not fit;
        the strategy keeps no rules, or no phrases.

    Example:
      >>> from attnjax.models import LanguageModel, LanguageModelConfig, sampling
      >>> model = LanguageModel(LanguageModelConfig(dim=8, layers=1), vocab=11, rngs=nnx.Rngs(0))
      >>> prompts, lengths = jnp.ones((2, 5), int), jnp.array([5, 4])
      >>> generate(model, prompts, lengths, eos=2, pad=0, max_length=3).tokens.shape
      (2, 3)
      >>> drawn = sampling(temperature=0.8, top_p=0.9)
      >>> options = {"eos": [2, 3], "pad": 0, "max_length": 3, "key": jax.random.key(0)}
      >>> generate(model, prompts, lengths, strategy=drawn, **options).tokens.shape
      (2, 3)
    """
    given = strategy, bos, eos, pad, max_length, padding, key, rules, prefix, required
    run = _Run(model, inputs, lengths, *given)
    if capture is not None and not hasattr(model, "attend"):
        raise ValueError(f"capture {capture}: expected None, {type(model).__name__} has no encoder")
    tokens, scores, ranked = run.whole() if tile is None else run.by_tiles(*tile)
    ended = ends(tokens, run.marks)
    count = jnp.where(ended.any(axis=1), jnp.argmax(ended, axis=1), max_length).astype(jnp.int32)
    weights = None
    if capture is not None and run.bos is not None:
        weights = forced(
            run.structure.graphdef, run.params, run.inputs, run.lengths, tokens, run.bos, capture
        )
    return Decoded(tokens, count, scores, weights, ranked)


def stream(
    model: Decodable,
    inputs: Int[Array, "B S"],
    lengths: Int[Array, " B"],
    *,
    strategy: Strategy | None = None,
    bos: int | None = None,
    eos: int | Sequence[int],
    pad: int,
    max_length: int,
    padding: Literal["right", "left"] = "right",
    key: Array | None = None,
    rules: Rules | None = None,
    prefix: Int[Array, "B P"] | None = None,
    every: int = 4,
) -> Iterator[np.ndarray]:
    """Yields the tokens of `generate` as they come, [B, T] of `every` steps, padded where a row has ended.

    All pieces come from one compiled program, that of `generate`.

    Args:
      model: as in `generate`, like all others but the last.
      inputs: sources or prompts.
      lengths: of them.
      strategy: one that takes no token back.
      bos: the token that begins a row.
      eos: the token that ends a row, or several.
      pad: the token that fills up a row.
      max_length: of emitted tokens.
      padding: the side of the inputs on which their padding is.
      key: of jax.random.
      rules: as in `generate`, as is the prefix.
      prefix: tokens that a row begins with.
      every: the number of tokens of a piece, but for the last one.

    Raises:
      ValueError: As in `generate`; the strategy may take back tokens, as beams do; every is not positive.

    Example:
      >>> from attnjax.models import LanguageModel, LanguageModelConfig
      >>> model = LanguageModel(LanguageModelConfig(dim=8, layers=1), vocab=11, rngs=nnx.Rngs(0))
      >>> options = {"eos": [], "pad": 0, "max_length": 6}
      >>> [piece.shape for piece in stream(model, jnp.ones((2, 5), int), jnp.array([5, 4]), **options)]
      [(2, 4), (2, 2)]
    """
    run = _Run(model, inputs, lengths, strategy, bos, eos, pad, max_length, padding, key, rules, prefix)
    if not run.strategy.streams:
        raise ValueError(f"strategy {run.strategy!r}: expected one that takes no token back")
    if every < 1:
        raise ValueError(f"every {every}: expected 1 or more")
    return run.pieces(every)


Finished = tuple[Array, Array | None, Ranked | None]


class _Run:
    """One call, with its arguments checked."""

    def __init__(
        self,
        model: Decodable,
        inputs: Array,
        lengths: Array,
        strategy: Strategy | None,
        bos: int | None,
        eos: int | Sequence[int],
        pad: int,
        max_length: int,
        padding: str,
        key: Array | None,
        rules: Rules | None = None,
        prefix: Array | None = None,
        required: Required | None = None,
    ) -> None:
        self.strategy: Strategy = greedy() if strategy is None else strategy
        if max_length < 1:
            raise ValueError(f"max_length {max_length}: expected 1 or more")
        if padding not in ("right", "left"):
            raise ValueError(f"padding {padding!r}: expected 'right' or 'left'")
        kind = {2: "tokens", 4: "images", **({} if model.continues else {3: "frames"})}.get(inputs.ndim)
        if kind is None or lengths.shape != inputs.shape[:1]:
            shapes = f"inputs {list(inputs.shape)}, lengths {list(lengths.shape)}"
            raise ValueError(f"{shapes}: expected (B, S), (B,)")
        if kind != "tokens" and padding == "left":
            raise ValueError(f"padding {padding!r}: {kind} {list(inputs.shape)} have none, expected 'right'")
        if not isinstance(lengths, jax.core.Tracer) and kind == "tokens":
            counts, least = jax.device_get(lengths), int(model.continues)
            if ((counts < least) | (counts > inputs.shape[1])).any():
                raise ValueError(f"lengths {counts.tolist()}: expected {least} to {inputs.shape[1]} tokens")
        if self.strategy.random and key is None:
            raise ValueError(f"key None: {self.strategy!r} draws, expected a key of jax.random")
        if (rules is not None or prefix is not None) and not self.strategy.ruled:
            raise ValueError(f"{self.strategy!r} keeps no rules of what may be written, nor a prefix")
        if prefix is not None and (prefix.ndim != 2 or len(prefix) != len(inputs)):
            raise ValueError(f"prefix {list(prefix.shape)}: expected ({len(inputs)}, P)")
        if required is not None and not isinstance(self.strategy, Beams):
            raise ValueError(f"required: {self.strategy!r} keeps no phrases, expected beams(…)")
        if required is not None and len(required.tokens) != len(inputs):
            raise ValueError(f"required: it has {len(required.tokens)} rows, expected {len(inputs)}")
        if padding == "left":
            inputs = shifted(inputs[..., None], inputs.shape[1] - lengths)[..., 0]
        self.inputs, self.lengths, self.length = inputs, lengths, max_length
        graphdef, self.params = nnx.split(model, nnx.Param)
        self.structure = Structure(graphdef)
        self.bos = None if bos is None else jnp.int32(bos)
        several = np.asarray([eos] if isinstance(eos, int) else list(eos), np.int32)
        self.marks = Marks(jnp.asarray(several), jnp.int32(pad))
        self.keys = _row_keys(key, inputs.shape[0]) if self.strategy.random else None
        self.bound: Bound | None = None
        if any(given is not None for given in (rules, prefix, required)):
            kept = no_rules() if rules is None else rules
            self.bound = bounded(kept, lengths, prefix, max_length, required)

    def whole(self) -> Finished:
        """Returns tokens, scores and the best sequences of all rows together."""
        begun = self._begun(self.inputs, self.lengths, self.keys, self.bound)
        return self._finished(self._proceeded(begun, self.length))

    def by_tiles(self, rows: int, width: int) -> Finished:
        """Returns them, so many rows at a time."""
        batch, longest = self.inputs.shape[:2]
        tokens = self.inputs.ndim == 2
        if rows < 1 or width < longest or (width > longest and not tokens):
            least = "or more tokens" if tokens else "vectors or rows of pixels"
            raise ValueError(f"tile {(rows, width)}: expected 1 or more rows of {longest} {least}")
        inputs = self.inputs
        if tokens:
            inputs = jnp.pad(inputs, ((0, 0), (0, width - longest)), constant_values=self.marks.pad)

        def begun(row: np.ndarray) -> Any:
            keys = None if self.keys is None else self.keys[row]
            bound = None if self.bound is None else self.bound.of(row)
            return self._begun(inputs[row], self.lengths[row], keys, bound)

        def proceeded(state: Any, enough: int) -> Any:
            return self._proceeded(state, self.length, enough * (len(state.emitted.done) // rows))

        return jax.tree.map(jnp.asarray, in_tiles(batch, rows, begun, proceeded, self._finished))

    def pieces(self, every: int) -> Iterator[np.ndarray]:
        """Yields the tokens of all rows together, so many steps at a time."""
        state = self._begun(self.inputs, self.lengths, self.keys, self.bound)
        for first in range(0, self.length, every):
            last = min(first + every, self.length)
            state = self._proceeded(state, last)
            if state.emitted.done.all():  # With several tokens a step, some may be beyond `last`.
                yield np.asarray(state.emitted.tokens[:, first : state.emitted.length.max()])
                return
            yield np.asarray(state.emitted.tokens[:, first:last])

    def _finished(self, state: Any) -> Finished:
        ranked = self.strategy.ranked(state) if isinstance(self.strategy, Beams) else None
        return *self.strategy.best(state), ranked

    def _begun(self, inputs: Array, lengths: Array, keys: Any, bound: Bound | None = None) -> Any:
        given = self.strategy, inputs, lengths, self.bos, keys, self.marks, bound
        return begin(self.structure, self.params, *given, length=self.length)

    def _proceeded(self, state: Any, limit: int, enough: int | None = None) -> Any:
        """Returns the state when rows have so many tokens, or `enough` of them have ended."""
        enough = len(state.emitted.done) if enough is None else enough
        until = jnp.int32(limit), jnp.int32(enough)
        return proceed(self.structure, self.params, self.strategy, state, self.marks, *until)


def _row_keys(key: Any, batch: int) -> Array:
    keys = jnp.asarray(key)
    if jnp.issubdtype(keys.dtype, jax.dtypes.prng_key) and keys.shape in ((), (batch,)):
        return keys if keys.ndim else jax.vmap(jax.random.fold_in, (None, 0))(keys, jnp.arange(batch))
    raise ValueError(f"key {keys.dtype}{list(keys.shape)}: expected a jax.random.key, or one for each row")
