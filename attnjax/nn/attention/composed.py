"""Softmax attention composed of recipes: masks, a comparison, scores, a normaliser and gates of heads."""

import functools
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from attnjax.mechanisms import Choice, Recipe, read
from attnjax.mechanisms.base import Role
from attnjax.mechanisms.pattern import Part
from attnjax.nn.attention.base import MaskLike, ScoreLike, require_kind
from attnjax.nn.attention.cache import KeysValues, KVCache, StateCache, write_rows
from attnjax.nn.attention.calling import taken
from attnjax.nn.attention.depth import Depth
from attnjax.nn.attention.mask_reading import MaskReading, looks_back, without_causal
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.placing import kept_tokens
from attnjax.nn.attention.recipes import LearnedForgetGate
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.nn.dropout import Dropout
from attnjax.nn.taps import Request
from attnjax.ops import masks
from attnjax.ops.comparisons import Comparison
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.masks import Mask
from attnjax.ops.normalizers import Normalizer
from attnjax.ops.scores.base import flatten


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GatedKVCache(KVCache):
    """A cache with the logs [*B, L, N] of the gates that lower older keys beside keys and values."""

    log_gates: Float[Array, "*B L N"]


class ComposedAttention(SoftmaxAttention):
    """Attention with the masks, the comparison, scores, normaliser and gates of heads of recipes.

    A causal() in the mask of a call tells the recipes that later tokens are not seen, and by its offset where
    the tokens stand. The recipes' scores come after those of the call, in the order of the text, and gates
    after an `output_gate` of the settings. Masks and scores are of self-attention; a layer without them reads
    a context too.

    Args:
      dim, heads: D and N.
      mechanism: the recipes, joined by &.
      settings: those of `SoftmaxAttention`.

    Raises:
      ValueError: As in `Attention`.

    Example:
      >>> from attnjax.ops import masks
      >>> layer = ComposedAttention(8, 2, mechanism="window(size=2) & sink", rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((1, 5, 8)), mask=masks.causal()).out.shape
      (1, 5, 8)
    """

    kind = "recipe"

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        mechanism: str,
        rngs: nnx.Rngs,
        **settings: Any,
    ) -> None:
        super().__init__(dim, heads, rngs=rngs, **settings)
        choice = read(mechanism)[0].of_model()
        self.mechanism = str(choice)
        given: dict[str, Any] = {
            "dim": dim,
            "heads": heads,
            "kv_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "value_dim": self.value_dim,
        }
        given |= {"rngs": rngs, "dtype": settings.get("dtype")}
        given["param_dtype"] = settings.get("param_dtype", jnp.float32)
        self.made: Any = nnx.Dict(
            {
                part.row.name: _call(part.row.function, given, part.options)
                for part in choice.recipes
                if _recipe(part).of_layer
            }
        )

    def __call__(
        self,
        x: Float[Array, "*B T D"],
        context: Float[Array, "*B S D"] | KeysValues | None = None,
        *,
        values: Float[Array, "*B S U"] | None = None,
        mask: MaskLike | None = None,
        score: ScoreLike | None = None,
        normalizer: Normalizer | None = None,
        comparison: Comparison | None = None,
        positions: Int[Array, "*#B T"] | None = None,
        context_positions: Int[Array, "*#B S"] | None = None,
        cache: KVCache | StateCache | None = None,
        dropout: Dropout | None = None,
        capture: Request = None,
        depth: Depth | None = None,
    ) -> AttentionOutput:
        """Attends from every token of x; arguments as in `SoftmaxAttention`.

        Raises:
          ValueError: A context is given to recipes of self-attention, or the mask is not causal where one is
            causal only.
        """
        own_tokens = [part for part in self._recipes if _recipe(part).role in ("mask", "score")]
        for name, given_one in (("context", context), ("values", values)):
            if given_one is not None and own_tokens:
                raise ValueError(f"{name} is given: {self.mechanism} takes none, it is of self-attention")
        require_kind(cache, KVCache if self._forget_gate is None else GatedKVCache, self.mechanism)
        reading, others = without_causal(mask)
        for part in self._recipes:
            if part.row.causal_only and not reading.causal:
                raise ValueError(f"mask {others!r}: {part.row.name} is causal only, expected causal() in it")
        held: Any = cache
        count = None if held is None else kept_tokens(mask, held.length, x.shape[-2])
        gates = self._gates(x, held, count)
        given = {"offset": reading.offset, "causal": reading.causal, "heads": self.heads, "log_gates": gates}
        given |= {"queries": x.shape[-2], "keys": x.shape[-2] if held is None else held.capacity}
        parts = [part for part in self._recipes if _recipe(part).role not in ("mask", "gate")]
        rules = [(_recipe(part), self._rule(part, given)) for part in parts]
        own_masks = list(_masks(read(self.mechanism)[0], lambda part: self._rule(part, given)))

        def own(role: Role, of_call: Any) -> Any:
            return of_call or next((rule for row, rule in rules if row.role == role), None)

        out, kept, weights = super().__call__(
            x,
            context,
            values=values,
            mask=_joined(reading, own_masks, others),
            score=[*flatten(score), *(rule for row, rule in rules if row.role == "score")] or None,
            normalizer=own("normalizer", normalizer),
            comparison=own("comparison", comparison),
            positions=positions,
            context_positions=context_positions,
            cache=cache,
            dropout=dropout,
            capture=capture,
        )
        return AttentionOutput(out, _with_gates(kept, gates), weights)

    def empty_cache(self, batch: tuple[int, ...], capacity: int, dtype: DTypeLike) -> KVCache:
        """Returns a cache of free slots for `capacity` tokens, or for those of a window.

        Raises:
          ValueError: A recipe needs all tokens at once.
        """
        for part in self._recipes:
            if not part.row.streaming:
                raise ValueError(
                    f"{part.row.name} needs all tokens at once: there is no cache for one after another"
                )
        cache = super().empty_cache(batch, capacity, dtype)
        gates = jnp.zeros((*batch, capacity, self.heads), accumulation_dtype(dtype))
        return _with_gates(cache, None if self._forget_gate is None else gates)

    def _looks_back(self) -> int | None:
        if self._forget_gate is not None:
            return None
        given = {"offset": 0, "causal": True, "heads": self.heads, "queries": 1, "keys": 1}
        own = _masks(read(self.mechanism)[0], lambda part: self._rule(part, given))
        near = None if self.window is None else masks.sliding_window(*self.window)
        return looks_back(_joined(MaskReading(), list(own), near))

    @property
    def _recipes(self) -> tuple[Part, ...]:
        return read(self.mechanism)[0].recipes

    def _rule(self, part: Part, given: dict[str, Any]) -> Any:
        """Returns the mask, score or normaliser of a recipe."""
        made = self.made.get(part.row.name)
        return _call(part.row.function, given, part.options) if made is None else _call(made, given, {})

    def _gated(self, heads: Array, x: Array) -> Array:
        heads = super()._gated(heads, x)
        for part in self._recipes:
            if _recipe(part).role == "gate":
                made = self.made.get(part.row.name)
                heads = part.row.function(heads, x, **part.options) if made is None else made(heads, x)
        return heads

    @property
    def _forget_gate(self) -> LearnedForgetGate | None:
        gates = [module for module in self.made.values() if isinstance(module, LearnedForgetGate)]
        return gates[0] if gates else None

    def _gates(
        self, x: Array, cache: GatedKVCache | None, count: Int[Array, "*B"] | None
    ) -> Float[Array, "*B S N"] | None:
        """Returns the logs of the gates of all keys, with those of x."""
        if self._forget_gate is None:
            return None
        gates = self._forget_gate.log_gates(x)
        if cache is None:
            return gates
        return write_rows(cache.log_gates, gates, cache.length, count=count)


def composed_mask(choice: Choice, length: int, *, causal: bool) -> Mask | None:
    """Returns the mask of the recipes of a layer for so many tokens; None where all see all.

    Example:
      >>> print(composed_mask(read("window(size=2)")[0], 3, causal=True).draw(3))
      ■ · ·
      ■ ■ ·
      · ■ ■
    """
    given = {"offset": 0, "causal": causal, "heads": 1, "queries": length, "keys": length}

    def rule(part: Part) -> Any:
        return _call(part.row.function, given, part.options)

    return _joined(MaskReading(causal=causal), list(_masks(choice.of_model(), rule)), None)


def _masks(choice: Choice, rule: Callable[[Part], Mask]) -> Iterator[tuple[Mask, bool]]:
    """Yields the masks that & joins, and whether each widens what a causal model sees."""
    for parts in choice.unions():
        if _recipe(parts[0]).role == "mask":
            yield functools.reduce(operator.or_, map(rule, parts)), _recipe(parts[0]).widens


def _with_gates(cache: Any, gates: Array | None) -> Any:
    if cache is None or gates is None:
        return cache
    return GatedKVCache(cache.keys, cache.values, cache.length, gates)


def _recipe(part: Part) -> Recipe:
    assert isinstance(part.row, Recipe)
    return part.row


def _call(function: Callable[..., Any], given: dict[str, Any], options: Any) -> Any:
    return function(**{**taken(function, given), **options})


def _joined(reading: MaskReading, rules: list[tuple[Mask, bool]], others: Mask | None) -> Mask | None:
    """Returns all masks joined by &, and by | those that widen what a causal model sees."""
    mask = masks.causal(reading.offset) if reading.causal else None
    for rule, widens in sorted(rules, key=lambda pair: not pair[1]):
        if widens:
            mask = None if mask is None else mask | rule
        else:
            mask = rule if mask is None else mask & rule
    if others is None:
        return mask
    return others if mask is None else mask & others
