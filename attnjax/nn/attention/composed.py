"""Softmax attention composed of recipes: masks, score modifications and a normaliser."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.mechanisms import Choice, Recipe, read
from attnjax.mechanisms.pattern import Part
from attnjax.nn.attention.cache import KVCache
from attnjax.nn.attention.calling import taken
from attnjax.nn.attention.layer import Attention
from attnjax.nn.attention.mask_reading import MaskReading, without_causal
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.recipes import ForgetGate
from attnjax.ops import masks
from attnjax.ops.masks import Mask


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GatedKVCache(KVCache):
    """A cache with the logs [*B, L, N] of the gates that lower older keys beside keys and values."""

    log_gates: Float[Array, "*B L N"]


class ComposedAttention(Attention):
    """Self-attention with the masks, scores and normaliser of recipes.

    A causal() in the mask that it is called with tells the recipes that what lies ahead is not seen, and
    where the tokens stand. Scores come after those that it is called with, in the order of the text.

    Args:
      dim, heads: D and N.
      choice: the recipes, with all their options.
      settings: those of `Attention`.

    Raises:
      ValueError: As in `Attention`.

    Example:
      >>> from attnjax.ops import masks
      >>> choice = read("window(size=2) & sink")[0]
      >>> layer = ComposedAttention(8, 2, choice=choice, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((1, 5, 8)), mask=masks.causal()).shape
      (1, 5, 8)
    """

    def __init__(self, dim: int, heads: int, *, choice: Choice, rngs: nnx.Rngs, **settings: Any) -> None:
        super().__init__(dim, heads, rngs=rngs, **settings)
        choice = choice.of_model()
        self.mechanism = str(choice)
        given: dict[str, Any] = {"dim": dim, "heads": heads, "rngs": rngs}
        given |= {name: settings[name] for name in ("dtype", "param_dtype") if name in settings}
        self.made: Any = nnx.Dict(
            {
                part.row.name: _call(part.row.function, given, part.options)
                for part in choice.recipes
                if _recipe(part).of_layer
            }
        )

    def attend(self, x: Float[Array, "*B T D"], context: Any = None, **options: Any) -> AttentionOutput:
        """Attends from every token of x; arguments as in `Attention.attend`, but for a context.

        Raises:
          ValueError: a context is given, or the mask is not causal where a recipe is causal only.
        """
        if context is not None:
            raise ValueError(f"context is given: {self.mechanism} takes none, it is of self-attention")
        cache, recipes = options.pop("cache", None), read(self.mechanism)[0].recipes
        reading, others = without_causal(options.pop("mask", None))
        for part in recipes:
            if part.row.causal_only and not reading.causal:
                raise ValueError(f"mask {others!r}: {part.row.name} is causal only, expected causal() in it")
        gates = self._gates(x, cache)
        given = {"offset": reading.offset, "causal": reading.causal, "heads": self.heads, "log_gates": gates}
        given |= {"queries": x.shape[-2], "keys": x.shape[-2] if cache is None else cache.capacity}
        made: dict[str, list[Any]] = {"mask": [], "score": [options.pop("score", None)], "normalizer": [None]}
        for part in recipes:
            recipe = _recipe(part)
            if recipe.of_layer:
                rule = _call(self.made[recipe.name], given, {})
            else:
                rule = _call(recipe.function, given, part.options)
            made[recipe.role].append((rule, recipe.widens) if recipe.role == "mask" else rule)
        score = [score for score in made["score"] if score is not None]
        attended = super().attend(
            x,
            mask=_joined(reading, made["mask"], others),
            score=score or None,
            normalizer=made["normalizer"][-1],
            cache=cache,
            **options,
        )
        return attended._replace(cache=_with_gates(attended.cache, gates))

    def empty_cache(self, batch: tuple[int, ...], capacity: int, dtype: DTypeLike) -> Any:
        """Returns a cache of `capacity` free slots.

        Raises:
          ValueError: a recipe needs all tokens at once.
        """
        for part in read(self.mechanism)[0].recipes:
            if not part.row.streaming:
                raise ValueError(
                    f"{part.row.name} needs all tokens at once: there is no cache for one after another"
                )
        gates = jnp.zeros((*batch, capacity, self.heads), jnp.result_type(dtype, jnp.float32))
        return _with_gates(
            super().empty_cache(batch, capacity, dtype), None if self._forget_gate is None else gates
        )

    @property
    def _forget_gate(self) -> ForgetGate | None:
        gates = [module for module in self.made.values() if isinstance(module, ForgetGate)]
        return gates[0] if gates else None

    def _gates(self, x: Array, cache: GatedKVCache | None) -> Float[Array, "*B S N"] | None:
        """The logs of the gates of all keys, with those of x."""
        if self._forget_gate is None:
            return None
        gates = self._forget_gate.log_gates(x)
        if cache is None:
            return gates
        old = cache.log_gates
        return jax.lax.dynamic_update_slice_in_dim(old, gates.astype(old.dtype), cache.length, axis=-2)


def _with_gates(cache: Any, gates: Array | None) -> Any:
    return (
        cache
        if cache is None or gates is None
        else GatedKVCache(cache.keys, cache.values, cache.length, gates)
    )


def _recipe(part: Part) -> Recipe:
    assert isinstance(part.row, Recipe)
    return part.row


def _call(function: Callable[..., Any], given: dict[str, Any], options: Any) -> Any:
    return function(**{**taken(function, given), **options})


def _joined(reading: MaskReading, rules: list[tuple[Mask, bool]], others: Mask | None) -> Mask | None:
    """All masks by &, but for those that widen what a causal model sees."""
    mask = masks.causal(reading.offset) if reading.causal else None
    for rule, widens in sorted(rules, key=lambda pair: not pair[1]):
        if widens:
            mask = None if mask is None else mask | rule
        else:
            mask = rule if mask is None else mask & rule
    if others is None:
        return mask
    return others if mask is None else mask & others
