"""Speculative decoding: a small model proposes several tokens, the large one judges them all at once."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PyTree

from attnjax.models.decoding.loop import Decodable, Emitted, Marks, Start
from attnjax.models.decoding.sampling import Greedy, OneByOne, greedy
from attnjax.nn import KVCache, WindowKVCache
from attnjax.ops.core.argmax import argmax
from attnjax.ops.core.node import PytreeNode, static


def speculative(draft: Decodable, *, proposals: int = 4, strategy: OneByOne | None = None) -> "Speculative":
    """Returns the strategy by which a small model proposes tokens, and the model keeps those that it may.

    Tokens have the distribution that they have without the small model; greedy ones are the same. A proposal
    x of probability q(x) is kept with probability min(1, p(x)/q(x)), where p is the model's distribution. The
    first one that is not makes way for a draw from max(p - q, 0); after the last a further token is drawn.

    Args:
      draft: the small model, over the same tokens.
      proposals: how many tokens it proposes at a time.
      strategy: `greedy()` or `sampling(…)`, of both models; None: greedy.

    Raises:
      ValueError: There are no proposals; the strategy has a repetition penalty, which depends on tokens that
        may be taken back. When it begins: a model keeps a state, which takes no token back, or a window of
        no more tokens than there are proposals, 16 at least; or the vocabularies differ.

    References:
      Leviathan et al., Fast Inference from Transformers via Speculative Decoding, 2022, arXiv:2211.17192.
      Chen et al., Accelerating Large Language Model Decoding with Speculative Sampling, 2023,
      arXiv:2302.01318.

    Example:
      >>> from attnjax.models import LanguageModel, LanguageModelConfig, generate
      >>> large, small = (
      ...     LanguageModel(LanguageModelConfig(dim=8, layers=layers), vocab=11, rngs=nnx.Rngs(0))
      ...     for layers in (2, 1)
      ... )
      >>> prompt = jnp.ones((1, 5), int), jnp.array([5])
      >>> options = {"eos": [], "pad": 0, "max_length": 6}
      >>> quick = generate(large, *prompt, strategy=speculative(small, proposals=2), **options)
      >>> bool((quick.tokens == generate(large, *prompt, **options).tokens).all())
      True
    """
    if proposals < 1:
        raise ValueError(f"proposals {proposals}: expected 1 or more")
    strategy = greedy() if strategy is None else strategy
    if strategy.repetition_penalty is not None:
        raise ValueError(f"repetition_penalty {strategy.repetition_penalty}: speculation takes none")
    graphdef, params = nnx.split(draft, nnx.Param)
    return Speculative(graphdef, params, proposals, strategy)


class Speculation(NamedTuple):
    """The state of both models.

    Attributes:
      emitted: the tokens so far.
      last: the token before the next one.
      cache, draft: of the models, of the tokens before `last`.
      keys: of the rows.
    """

    emitted: Emitted
    last: Int[Array, " B"]
    cache: PyTree
    draft: PyTree
    keys: PyTree


class Speculative(PytreeNode):
    """The strategy that `speculative` returns."""

    graphdef: Any = static()
    params: Any
    proposals: int = static()
    strategy: Any

    streams: ClassVar[bool] = True
    ruled: ClassVar[bool] = False

    def __repr__(self) -> str:
        """Errors name the strategy: without the draft's parameters."""
        return f"speculative(…, {self.proposals}, {self.strategy!r})"

    @property
    def random(self) -> bool:
        """True where the strategy draws."""
        return self.strategy.random

    def begin(self, model: Decodable, start: Start) -> Speculation:
        """Returns the state before the first token."""
        draft: Decodable = nnx.merge(self.graphdef, self.params)
        # The last step may look that far beyond what is emitted.
        room = start.length + self.proposals
        last, cache = model.start(start.inputs, start.lengths, bos=start.bos, room=room)
        last = last.astype(jnp.int32)
        _, draft_cache = draft.start(start.inputs, start.lengths, bos=start.bos, room=room)
        vocabs = [
            jax.eval_shape(m.extend, last[:, None], c)[0].shape[-1]
            for m, c in ((model, cache), (draft, draft_cache))
        ]
        if len(set(vocabs)) > 1:
            raise ValueError(f"draft has {vocabs[1]} tokens: expected those of the model, {vocabs[0]}")
        for name, kept in (("model", cache), ("draft", draft_cache)):
            _require_slots(name, kept, self.proposals)
        emitted = Emitted.none(start.inputs.shape[0], start.length, start.marks)
        return Speculation(emitted, last, cache, draft_cache, start.keys)

    def advance(self, model: Decodable, state: Speculation, marks: Marks) -> Speculation:
        """Returns the state with 1 to `proposals` + 1 more tokens in each row."""
        draft: Decodable = nnx.merge(self.graphdef, self.params)
        keys = None
        if state.keys is not None:
            keys = jax.vmap(jax.random.fold_in)(state.keys, state.emitted.length)
        tokens, draft_cache = [state.last], state.draft
        guesses = []
        for place in range(self.proposals):
            logits, draft_cache, _ = draft.extend(tokens[-1][:, None], draft_cache)
            guesses.append(self._probabilities(logits[:, 0]))
            tokens.append(_drawn(guesses[-1], _at(keys, 2 * place)))
        # The last proposal, too, is one of the tokens before the next one, if it is kept.
        _, draft_cache, _ = draft.extend(tokens[-1][:, None], draft_cache)
        logits, cache, _ = model.extend(jnp.stack(tokens, axis=1), state.cache)
        target = self._probabilities(logits)

        kept = ~state.emitted.done
        count = jnp.zeros_like(state.emitted.length)
        emitted, last = state.emitted, jnp.full_like(state.last, marks.pad)
        for place in range(self.proposals + 1):
            # After the last proposal there is none to keep, and what is drawn is drawn from p.
            q = guesses[place] if place < self.proposals else jnp.zeros_like(target[:, 0])
            proposed = tokens[(place + 1) % len(tokens)]
            p, drawn_at = target[:, place], 2 * self.proposals + 1
            accept = _uniform(keys, 2 * place + 1, p[:, 0]) * _of(q, proposed) < _of(p, proposed)
            accept &= place < self.proposals
            token = jnp.where(accept, proposed, _drawn(jnp.maximum(p - q, 0), _at(keys, drawn_at)))
            emitted = emitted.add(token, marks, also=kept)
            last = jnp.where(kept, token, last)
            kept &= accept
            count += kept.astype(jnp.int32)
        count += (~state.emitted.done).astype(jnp.int32)
        return Speculation(
            emitted,
            last,
            _rolled_back(state.cache, cache, count),
            _rolled_back(state.draft, draft_cache, count),
            state.keys,
        )

    def best(self, state: Speculation) -> tuple[Int[Array, "B L"], None]:
        """Returns the tokens of each row; they have no score."""
        return state.emitted.tokens, None

    def _probabilities(self, logits: Float[Array, "*B V"]) -> Float[Array, "*B V"]:
        """Returns what the strategy draws from; greedily, all is on one token."""
        if isinstance(self.strategy, Greedy):
            return jax.nn.one_hot(argmax(logits), logits.shape[-1])
        return jax.nn.softmax(self.strategy.changed(logits, None), axis=-1)


def _at(keys: Any, place: int) -> Any:
    return None if keys is None else jax.vmap(jax.random.fold_in, (0, None))(keys, place)


def _drawn(probabilities: Float[Array, "B V"], keys: Any) -> Int[Array, " B"]:
    """Returns a token of each row by numbers that need not sum to 1; the likeliest without keys."""
    if keys is None:
        return argmax(probabilities)
    return jax.vmap(jax.random.categorical)(keys, jnp.log(probabilities)).astype(jnp.int32)


def _uniform(keys: Any, place: int, like: Float[Array, " B"]) -> Float[Array, " B"]:
    """Returns a number in [0, 1) for each row; 0.5 without keys, where chances are 0 or 1."""
    if keys is None:
        return jnp.full_like(like, 0.5)
    return jax.vmap(jax.random.uniform)(_at(keys, place))


def _of(probabilities: Float[Array, "B V"], token: Int[Array, " B"]) -> Float[Array, " B"]:
    return jnp.take_along_axis(probabilities, token[:, None], axis=-1)[:, 0]


def _require_slots(name: str, cache: Any, proposals: int) -> None:
    for layer in getattr(cache, "layers", getattr(cache, "own", ())):
        if isinstance(layer, WindowKVCache) and proposals >= layer.capacity:
            raise ValueError(
                f"proposals {proposals}: expected fewer than the {name}'s window of {layer.capacity}"
            )
        if type(layer) not in (KVCache, WindowKVCache):
            raise ValueError(f"{name} keeps a {type(layer).__name__}: expected slots, which take tokens back")
    if getattr(cache, "tail", None) is not None:
        raise ValueError(f"{name} has a convolution: expected slots alone, which take tokens back")


def _rolled_back(before: Any, after: Any, count: Int[Array, " B"]) -> Any:
    """Returns the cache after so many of the tokens that came to the one before."""

    def cut(old: Any, new: Any) -> Any:
        return new.taken_back(old, count) if isinstance(old, KVCache) else new

    return jax.tree.map(cut, before, after, is_leaf=lambda x: isinstance(x, KVCache))
