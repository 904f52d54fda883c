"""The layer under test: a small one in float64 whose parameters have left their initial values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from attnjax.config import require
from attnjax.mechanisms import Choice, Recipe, read
from attnjax.nn.attention.make import make_attention
from attnjax.ops import masks

BATCH, LENGTH, DIM, HEADS = 3, 8, 16, 4
MOST_TOKENS = 256
"""Tokens of the longest input, of the check of costs."""
SPREAD = 0.3
"""Standard deviation of what is added to every parameter: zero biases and unit gains hide faults."""

LayerFactory = Callable[..., Any]
"""`make(dim, heads, *, dtype, param_dtype, rngs)` gives an attention layer: a module that is called as
`layer(x, mask=…, cache=…)`, returns an `AttentionOutput` and makes caches with `empty_cache`."""


@dataclass(frozen=True)
class Subject:
    """A layer factory, and what its mechanism promises.

    Attributes:
      make: makes the layer.
      causal_only: there is no two-sided form.
      two_sided_only: there is no causal form.
      packs: packed sequences can be kept apart.
      streaming: tokens can be appended to a cache.
      sees_ahead: it attends to later tokens too, even under a causal mask.
      heads_differ: heads differ by more than their parameters (fixed decays, slopes).
      exponent: the power of T in the cost; None where short inputs do not show it.
    """

    make: LayerFactory
    causal_only: bool = False
    two_sided_only: bool = False
    packs: bool = True
    streaming: bool = True
    sees_ahead: bool = False
    heads_differ: bool = False
    exponent: float | None = None

    def layer(self, **dtypes: Any) -> Any:
        """Returns the layer as it is made, for a dtype and a param_dtype."""
        return self.make(DIM, HEADS, rngs=nnx.Rngs(0), **dtypes)

    @property
    def order(self) -> Any:
        """The mask of most checks: causal(), or None where there is no causal form."""
        return None if self.two_sided_only else masks.causal()

    @cached_property
    def split(self) -> tuple[Any, Any]:
        """The layer's structure and its parameters, moved by `SPREAD` from where they start."""
        graphdef, params = nnx.split(self.layer(dtype=None, param_dtype=jnp.float64), nnx.Param)
        leaves, tree = jax.tree.flatten(params)
        moved = [x + SPREAD * normal(x.shape, seed=i).astype(x.dtype) for i, x in enumerate(leaves)]
        return graphdef, jax.tree.unflatten(tree, moved)

    @property
    def params(self) -> Any:
        """The parameters, in float64."""
        return self.split[1]

    def call(self, params: Any, x: Array, mask: Any, cache: Any = None) -> tuple[Array, Any]:
        """Returns the layer's output and the cache with x appended, where one is given."""
        found = nnx.merge(self.split[0], params)(x, mask=mask, cache=cache)
        return found.out, found.cache

    @cached_property
    def output(self) -> Callable[[Any, Array, Any], Array]:
        """The compiled output of (parameters, x, mask)."""
        return jax.jit(lambda params, x, mask: self.call(params, x, mask)[0])

    @cached_property
    def append(self) -> Callable[[Any, Array, Any], tuple[Array, Any]]:
        """The compiled output and cache of (parameters, x, cache)."""
        return jax.jit(lambda params, x, cache: self.call(params, x, masks.causal(cache.length), cache))

    def empty_cache(self, batch: int, capacity: int) -> Any:
        """Returns a cache for that many tokens, in float64."""
        return nnx.merge(self.split[0], self.params).empty_cache((batch,), capacity, jnp.float64)


def _small(row: Recipe) -> Mapping[str, Any]:
    image = {"shape": (2, LENGTH // 2), "window": (1, 3)}
    return image if "shape" in row.options else row.drawn


def normal(shape: tuple[int, ...], seed: int) -> Float[Array, "..."]:
    """Returns numbers of a standard normal distribution."""
    return jax.random.normal(jax.random.key(seed), shape, jnp.result_type(float))


def tokens(length: int = LENGTH) -> Float[Array, "B T D"]:
    """Returns the inputs of every check."""
    return normal((BATCH, length, DIM), seed=101)


def subject_of(text: str) -> Subject:
    """Returns the subject that a mechanism as a config names it is, with what its declaration promises.

    A mask without options gets those with which it is drawn: by default many are wider than the inputs here.

    Raises:
      InputError: the text is no mechanism, a pattern of several layers, or a layer that takes no tokens.
    """
    choices = read(text)
    require(len(choices) == 1, f"mechanism is {text!r}: expected that of one layer, not of {len(choices)}")
    choices[0].row.require_takes("tokens", f"mechanism is {text!r}")
    parts = [
        replace(part, options=part.options or _small(part.row)) if isinstance(part.row, Recipe) else part
        for part in choices[0].parts
    ]
    rows = [part.row for part in parts]
    choice = Choice(tuple(parts)).of_model(layer=0, layers=2, max_length=MOST_TOKENS)
    return Subject(
        partial(make_attention, choice),
        causal_only=any(row.causal_only for row in rows),
        two_sided_only=any(row.two_sided_only for row in rows),
        packs=all(row.packs for row in rows),
        streaming=all(row.streaming for row in rows),
        sees_ahead=any(isinstance(row, Recipe) and row.widens for row in rows),
        heads_differ=any(row.heads_differ for row in rows),
        exponent=None if choice.recipes else 2.0 if "T²" in choice.row.cost else 1.0,
    )
