"""The loop of decoding: one compiled `while`, whatever the model and however tokens are chosen."""

from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PyTree

from attnjax.nn import KVCache
from attnjax.ops.core.ranks import of_rank


class Decodable(Protocol):
    """A model that emits one token after another, such as `Transformer` and `LanguageModel`."""

    continues: ClassVar[bool]
    """True where the inputs are the beginning of the sequence that is emitted."""

    def start(
        self, inputs: Int[Array, "B S"], lengths: Int[Array, " B"], *, bos: Int[Array, ""] | None, room: int
    ) -> tuple[Int[Array, " B"], Any]:
        """Returns each row's token before the first that is emitted, and a cache of all before it."""

    def extend(
        self, tokens: Int[Array, "B T"], cache: Any
    ) -> tuple[Float[Array, "B T V"], Any, Float[Array, "B T D"]]:
        """Returns the logits of the token after each of these, the cache with them, their last vectors."""


class Marks(NamedTuple):
    """The tokens that have a meaning: `eos` [E], each of which ends a row, and `pad`."""

    eos: Int[Array, " E"]
    pad: Int[Array, ""]


class Emitted(NamedTuple):
    """The tokens that rows have emitted so far.

    Attributes:
      tokens: [B, L], padded.
      length: [B], how many of them there are, end marks included.
      done: [B], the rows that have ended or are full.
    """

    tokens: Int[Array, "B L"]
    length: Int[Array, " B"]
    done: Bool[Array, " B"]

    @classmethod
    def none(cls, batch: int, length: int, marks: Marks) -> "Emitted":
        """Returns the state before the first token."""
        nothing = jnp.zeros((batch,), jnp.int32)
        return cls(jnp.full((batch, length), marks.pad), nothing, jnp.zeros((batch,), bool))

    def add(self, token: Int[Array, " B"], marks: Marks, also: Bool[Array, " B"] | None = None) -> "Emitted":
        """Returns the state with one more token in rows that are not done, of those only `also` if given."""
        live = ~self.done if also is None else ~self.done & also
        most = self.tokens.shape[1]
        here = live[:, None] & (jnp.arange(most)[None] == self.length[:, None])
        tokens = jnp.where(here, token[:, None], self.tokens)
        length = self.length + live.astype(self.length.dtype)
        ended = ends(token, marks) | (length >= most)
        return Emitted(tokens, length, self.done | (live & ended))


def ends(token: Int[Array, "*B"], marks: Marks) -> Bool[Array, "*B"]:
    """Returns whether each token is an end mark."""
    return jnp.any(token[..., None] == of_rank(marks.eos, token.ndim + 1), axis=-1)


class Start(NamedTuple):
    """The beginning, as a strategy is given it.

    Attributes:
      inputs, lengths: as the user gave them, padded on the right.
      bos: the token that begins a row; None where the inputs do.
      keys: of jax.random, one for each row; None where there is no chance.
      length: L, of the tokens to emit.
      marks: the tokens that have a meaning.
      bound: rules of what may be emitted, for these rows; None for none.
    """

    inputs: Int[Array, "B S"]
    lengths: Int[Array, " B"]
    bos: Int[Array, ""] | None
    keys: PyTree
    length: int
    marks: Marks
    bound: Any = None


class Strategy(Protocol):
    """A way to choose tokens: greedy, sampling, beams. A pytree, whose numbers are traced."""

    streams: ClassVar[bool]
    """True where a token that was emitted stays."""
    ruled: ClassVar[bool]
    """True where it keeps rules."""

    @property
    def random(self) -> bool:
        """True where it needs keys."""

    def begin(self, model: Any, start: Start) -> Any:
        """Returns the state before the first token; its field `emitted` is an `Emitted`."""

    def advance(self, model: Any, state: Any, marks: Marks) -> Any:
        """Returns the state after one more step."""

    def best(self, state: Any) -> tuple[Int[Array, "B L"], Float[Array, " B"] | None]:
        """Returns the tokens of each row, and their scores where it has such."""


class Structure:
    """A model without its parameters, as programs are found by: its hash is computed once.

    That of flax takes as long as some steps of a small model.
    """

    def __init__(self, graphdef: nnx.GraphDef[Any]) -> None:
        self.graphdef, self._hash = graphdef, hash(graphdef)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Structure) and self.graphdef == other.graphdef)


@partial(jax.jit, static_argnames=("structure", "length"))
def begin(
    structure: Structure,
    params: nnx.State,
    strategy: Strategy,
    inputs: Array,
    lengths: Array,
    bos: Array | None,
    keys: PyTree,
    marks: Marks,
    bound: Any = None,
    *,
    length: int,
) -> Any:
    """Returns the state of a strategy before the first token."""
    start = Start(inputs, lengths, bos, keys, length, marks, bound)
    return strategy.begin(nnx.merge(structure.graphdef, params), start)


@partial(jax.jit, static_argnames=("structure",), donate_argnames=("state",))
def proceed(
    structure: Structure,
    params: nnx.State,
    strategy: Strategy,
    state: Any,
    marks: Marks,
    limit: Int[Array, ""],
    enough: Int[Array, ""],
) -> Any:
    """Returns the state when `enough` rows have ended, or all have that or emitted `limit` tokens.

    The given state is used up. Each beam counts as a row.
    """
    model = nnx.merge(structure.graphdef, params)

    def going(state: Any) -> Array:
        emitted: Emitted = state.emitted
        return jnp.any(~emitted.done & (emitted.length < limit)) & (emitted.done.sum() < enough)

    return jax.lax.while_loop(going, lambda state: _at_rest(strategy.advance(model, state, marks)), state)


def _at_rest(state: Any) -> Any:
    """Returns the state with no tokens in the caches of rows that have ended.

    They are computed on, though nobody looks at them. A full cache gives NaN, with which the engine of
    decoding computes the other rows in another way too: they would depend on it in the last bits.
    """
    done = state.emitted.done

    def of(part: Any) -> Any:
        return replace(part, length=jnp.where(done, 0, part.length)) if isinstance(part, KVCache) else part

    return jax.tree.map(of, state, is_leaf=lambda part: isinstance(part, KVCache))
