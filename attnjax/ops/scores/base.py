"""Score modifications: what happens to scale·(q·k) before the mask and the normaliser.

They compose in the order given: `softcap(30.0) >> alibi(slopes)`, or a sequence of them.
"""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from attnjax.ops.core.checks import floats, scalar, scalar_above
from attnjax.ops.core.elementwise import elementwise, hoisted
from attnjax.ops.core.masked_pairs import Representative, representative
from attnjax.ops.core.node import PytreeNode, replace
from attnjax.ops.core.pairs import Block, Grid, Sizes, pair_grid
from attnjax.ops.core.running_sums import running_sums
from attnjax.ops.positions import relative_buckets

# A gate with a lower log is 0 in every float type, and a sum that holds it has no digits left for the others.
LOWEST_GATE = -1000.0


class Score(PytreeNode):
    """One modification of the scores, an immutable pytree: its arrays are differentiable parameters."""

    def bind(self, sizes: Sizes, dtype: Any) -> "Score":
        """The score for these sizes, computed in `dtype`; ValueError when its arrays do not fit."""
        return self

    def apply(
        self, scores: Float[Array, "B N t s"], at: Block, attended: Bool[Array, "..."] | None
    ) -> Float[Array, "B N t s"]:
        """The new scores (after `bind`) of a block; `attended` = None where no pair is masked."""
        raise NotImplementedError

    def __rshift__(self, other: "Score | Chain") -> "Chain":
        return Chain((*flatten(self), *flatten(other)))


@jax.tree_util.register_pytree_node_class
class Chain(tuple[Score, ...]):
    """Scores one after the other."""

    def tree_flatten(self) -> tuple[tuple[Score, ...], None]:
        return tuple(self), None

    @classmethod
    def tree_unflatten(cls, aux: None, scores: Iterable[Score]) -> "Chain":
        return cls(scores)

    def __rshift__(self, other: "Score | Chain") -> "Chain":
        return Chain((*self, *flatten(other)))


def flatten(score: Any) -> tuple[Score, ...]:
    """A score, a sequence of scores or None as a tuple; TypeError for anything else."""
    if score is None:
        return ()
    if isinstance(score, Score):
        return (score,)
    if isinstance(score, Iterable) and not isinstance(score, (jax.Array, np.ndarray)):
        return tuple(s for part in score for s in flatten(part))
    raise TypeError(
        f"score is {score!r}: expected scores of attnjax (score_fn(fn) for a function of your own)"
    )


def alibi(slopes: Float[Array, " N"], offset: Any = 0, *, signed: bool = False) -> Score:
    """s - slope_h · |i + offset - j|: Press et al., 2022 (the distance is symmetric without a causal mask).

    `slopes` [N] as from `attnjax.ops.positions.alibi_slopes`; `offset` is the number of cached keys. With
    `signed` it is s + slope_h · (j - i - offset), which raises the scores of later keys as it lowers those of
    earlier ones: the same where a causal mask leaves j ≤ i + offset. Its softmax is that of BLOOM's
    s + slope_h · j, and negative slopes give the other sign.

    Raises TypeError for slopes that are not floating point, ValueError for other shapes.

    >>> import attnjax as aj
    >>> x = jnp.zeros((3, 1, 4))
    >>> weights = aj.attention_weights(x, x, score=aj.alibi(jnp.array([1.0])))[0, 0]
    >>> print(jnp.array_str(weights, precision=2))
    [0.67 0.24 0.09]
    """
    return Alibi(floats("slopes", slopes), scalar("offset", offset), signed)


def softcap(c: float | Float[Array, ""]) -> Score:
    """c · tanh(s / c): scores stay inside (-c, c). Gemma 2 (2024). ValueError for a c not above 0.

    >>> import attnjax as aj
    >>> x = 100 * jnp.eye(2)[:, None]
    >>> weights = aj.attention_weights(x, x, score=aj.softcap(2.0))[0]
    >>> print(jnp.array_str(weights, precision=2))
    [[0.88 0.12]
     [0.12 0.88]]
    """
    return Softcap(scalar_above("softcap", c, 0))


def relative_bias(
    table: Float[Array, "buckets N"],
    *,
    max_distance: int = 128,
    bidirectional: bool = True,
    offset: Any = 0,
) -> Score:
    """s + table[bucket(j - i - offset), h]: T5 (Raffel et al., 2020), one table shared by all positions.

    `table` is [buckets, N] as T5 stores it. ValueError for another number of heads.

    >>> import attnjax as aj
    >>> x, table = jnp.zeros((3, 1, 4)), jnp.log(jnp.array([[1.0], [2.0], [4.0], [8.0]]))
    >>> weights = aj.attention_weights(x, x, score=aj.relative_bias(table, bidirectional=False))[0]
    >>> print(jnp.array_str(weights, precision=2))
    [[0.33 0.33 0.33]
     [0.5  0.25 0.25]
     [0.57 0.29 0.14]]
    """
    table = floats("table", table)
    if table.ndim != 2:
        raise ValueError(f"table has shape {list(table.shape)}: expected [buckets, N]")
    return RelativeBias(table, max_distance, bidirectional, scalar("offset", offset))


def forget_gate(log_f: Float[Array, "*B S N"], offset: Any = 0) -> Score:
    """s + Σ log f_l for l = j+1 … i+offset: Forgetting Transformer (Lin et al., 2025).

    `log_f` [*B, S, N] holds the log of each key position's gate. Meant for a causal mask: for j > i + offset
    the sum runs backwards with the opposite sign. A query beyond the last key has no further gates. A gate of
    0 (a log of -inf, or any below -1000) is a border: the score of a pair across it is -inf, its weight 0 as
    that of a masked pair, and the gate's gradient 0. Sums keep their digits at any length.

    Raises TypeError for gates that are not floating point, ValueError for another shape.

    >>> import attnjax as aj
    >>> x, log_f = jnp.zeros((3, 1, 4)), jnp.log(jnp.array([[1.0], [0.5], [0.5]]))
    >>> weights = aj.attention_weights(x, x, score=aj.forget_gate(log_f), mask=aj.causal())[0]
    >>> print(jnp.array_str(weights, precision=2))
    [[1.   0.   0.  ]
     [0.33 0.67 0.  ]
     [0.14 0.29 0.57]]
    """
    return ForgetGate(floats("log_f", log_f), None, scalar("offset", offset))


def pair_bias(array: Float[Array, "..."]) -> Score:
    """s + array, broadcastable to [*B, N, T, S]; its gradient is reduced over what was broadcast.

    Raises TypeError for an array that is not floating point, ValueError for a shape that does not broadcast.

    >>> import attnjax as aj
    >>> x, bias = jnp.zeros((2, 1, 4)), jnp.log(jnp.array([[1.0, 3.0], [1.0, 1.0]]))
    >>> weights = aj.attention_weights(x, x, score=aj.pair_bias(bias))[0]
    >>> print(jnp.array_str(weights, precision=2))
    [[0.25 0.75]
     [0.5  0.5 ]]
    """
    return PairBias(floats("pair_bias", array), "pair_bias")


def score_fn(fn: Callable[..., Any], *params: Any) -> Score:
    """fn(s, b, h, i, j, *params): any function of scalars (s in the softmax's dtype, indices int32).

    b counts batch elements in row-major order, h query heads. Differentiable in s, in the `params` (any
    pytrees) and in the arrays that fn closes over. fn may give NaN or have no derivative at masked pairs.
    TypeError or ValueError when it gives another dtype or shape than a scalar score.

    >>> import attnjax as aj
    >>> x = jnp.ones((3, 1, 4))
    >>> decay = score_fn(lambda s, b, h, i, j, rate: s - rate * jnp.abs(i - j), jnp.array(0.5))
    >>> aj.attention(x, x, x, score=decay, mask=aj.causal()).shape
    (3, 1, 4)
    """
    if not callable(fn):
        raise TypeError(
            f"score_fn got {fn!r}: expected a function fn(score, b, h, q_index, k_index, *params)"
        )
    return ScoreFn(fn, tuple(params))


class Alibi(Score):
    slopes: Any
    offset: Any
    signed: bool

    def bind(self, sizes: Sizes, dtype: Any) -> Score:
        slopes = _per_head("slopes", self.slopes, sizes).astype(dtype)
        return replace(self, slopes=Grid(slopes[None, :, None, None]))

    def apply(self, scores: Array, at: Block, attended: Array | None) -> Array:
        distance = at.q + self.offset - at.k
        distance = distance if self.signed else jnp.abs(distance)
        return scores - self.slopes.array * distance.astype(scores.dtype)


class Softcap(Score):
    c: Any

    def apply(self, scores: Array, at: Block, attended: Array | None) -> Array:
        c = jnp.asarray(self.c, scores.dtype)
        return c * jnp.tanh(scores / c)


class RelativeBias(Score):
    table: Any
    max_distance: int
    bidirectional: bool
    offset: Any

    def bind(self, sizes: Sizes, dtype: Any) -> Score:
        if self.table.shape[1] != sizes.heads:
            raise ValueError(
                f"table has shape {list(self.table.shape)}: expected [buckets, {sizes.heads}] (buckets, N)"
            )
        return replace(self, table=self.table.astype(dtype))

    def apply(self, scores: Array, at: Block, attended: Array | None) -> Array:
        buckets = relative_buckets(
            at.q[0, 0] + self.offset,
            at.k[0, 0],
            num_buckets=self.table.shape[0],
            max_distance=self.max_distance,
            bidirectional=self.bidirectional,
        )
        return scores + jnp.moveaxis(self.table[:, at.h.ravel()][buckets], -1, 0)[None]


class Sums(PytreeNode):
    """Of log f up to a position: rounded, what the rounding left out, and the number of gates of 0, apart."""

    sums: Any
    rests: Any
    borders: Any


class ForgetGate(Score):
    """After `bind`: sums of log f up to each query (`log_f`) and up to each key (`key_sums`)."""

    log_f: Any
    key_sums: Any
    offset: Any

    def bind(self, sizes: Sizes, dtype: Any) -> Score:
        expected = (*sizes.batch, sizes.keys, sizes.heads)
        if self.log_f.shape != expected:
            raise ValueError(
                f"log_f has shape {list(self.log_f.shape)}: expected {list(expected)} (*B, S, N)"
            )
        log_f = self.log_f.astype(dtype).reshape(sizes.flat_batch, *expected[-2:])
        log_f = jnp.swapaxes(log_f, 1, 2)
        closed = log_f < LOWEST_GATE
        sums = running_sums(jnp.where(closed, 0, log_f))
        whole = (*sums, jnp.cumsum(closed, axis=2, dtype=jnp.int32))
        before = (jnp.pad(x, ((0, 0), (0, 0), (1, 0))) for x in whole)  # The sum before position 0 is 0.
        position = jnp.arange(sizes.queries) + self.offset + 1
        return replace(
            self,
            log_f=Sums(*(Grid(jnp.take(x, position, axis=2, mode="clip")[..., None]) for x in before)),
            key_sums=Sums(*(Grid(x[:, :, None, :]) for x in whole)),
        )

    def apply(self, scores: Array, at: Block, attended: Array | None) -> Array:
        query, key = self.log_f, self.key_sums
        between = query.sums.array - key.sums.array + (query.rests.array - key.rests.array)
        return jnp.where(query.borders.array == key.borders.array, scores + between, -jnp.inf)


class PairBias(Score):
    array: Any
    name: str

    def bind(self, sizes: Sizes, dtype: Any) -> Score:
        grid = pair_grid(self.name, self.array, sizes)
        return replace(self, array=Grid(grid.array.astype(dtype)))

    def apply(self, scores: Array, at: Block, attended: Array | None) -> Array:
        return scores + self.array.array


class ScoreFn(Score):
    fn: Callable[..., Any]
    params: Any

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "_children", ("params",))

    def bind(self, sizes: Sizes, dtype: Any) -> Score:
        score, index = jax.ShapeDtypeStruct((), dtype), jax.ShapeDtypeStruct((), jnp.int32)
        fn, closed_over, result = hoisted(self.fn, score, index, index, index, index, *self.params)
        if getattr(result, "shape", None) != ():
            raise ValueError(f"the score function gives {result} for a scalar score: expected shape []")
        if result.dtype != dtype:
            raise TypeError(
                f"the score function gives {result.dtype} for a score of {dtype}: expected the same"
            )
        return ScoreFn(fn, (*self.params, *closed_over))

    def apply(self, scores: Array, at: Block, attended: Array | None) -> Array:
        if attended is None or 0 in scores.shape:
            return self._map(scores, at, self.params)
        stand_in: Representative = representative(attended, scores.shape)
        return self._map(stand_in.scores(scores), stand_in.indices(at), stand_in.params(self.params))

    def _map(self, scores: Array, at: Block, params: Any) -> Array:
        return elementwise(lambda *pair: self.fn(*pair, *params), scores, *at)


def _per_head(name: str, x: Array, sizes: Sizes) -> Array:
    if x.shape != (sizes.heads,):
        raise ValueError(f"{name} has shape {list(x.shape)}: expected [{sizes.heads}] (N)")
    return x
