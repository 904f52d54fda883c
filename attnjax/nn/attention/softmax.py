"""The layer of softmax attention, around `attnjax.attention`."""

from typing import Any, ClassVar, Unpack

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from attnjax.mechanisms import read
from attnjax.mechanisms.base import Kind
from attnjax.nn.attention.base import Attention, MaskLike, ScoreLike, normed, require_kind, require_width
from attnjax.nn.attention.cache import KeysValues, KVCache, StateCache
from attnjax.nn.attention.calling import require_together, taken
from attnjax.nn.attention.capture import Capture
from attnjax.nn.attention.depth import Depth
from attnjax.nn.attention.memory import own_memory
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.over_context import over_context
from attnjax.nn.attention.placing import (
    counted,
    kept_tokens,
    nan_where_wrong,
    remembered,
    require_offsets,
)
from attnjax.nn.attention.position_score import PositionScore
from attnjax.nn.attention.scoring import own_sink, reach, require_numbers, rules_of_call
from attnjax.nn.attention.settings import Settings
from attnjax.nn.attention.sizes import require_sizes
from attnjax.nn.attention.tapped import asked_weights, mixed, shared_with_memory, sites_of_pairs
from attnjax.nn.attention.window_cache import empty_slots
from attnjax.nn.dropout import Dropout
from attnjax.nn.taps import Request, Sites, tapped
from attnjax.ops import scores
from attnjax.ops.comparisons import Comparison
from attnjax.ops.normalizers import Normalizer
from attnjax.ops.scores import Score


class SoftmaxAttention(Attention):
    """Attention over x itself or over a context: O·concat_n softmax(q_n·k_nᵀ/√H)·v_n.

    A key/value head serves heads/kv_heads query heads. Scores are scaled, capped by `softcap`, modified by
    the layer's `score` and by that of the call, masked, and normalised.

    Args:
      dim, heads: as in `Attention`.
      context_dim: the width of the source of keys; None: D.
      values_dim: the width of the source of values; None: that of the keys' source.
      scale: of the products of queries and keys; None: 1/√H.
      softcap: c of c·tanh(s/c), as in Gemma 2; None: scores are not capped.
      score: a modification of the scores, or a `PositionScore` of this layer.
      window: the number of tokens seen on either side, the token itself among them; (left, right) counts
        without it.
      normalizer: of the scores, with numbers and no arrays; None: softmax.
      sink: whether each head has a learned logit that takes weight and gives no value, as in gpt-oss; it
        starts at 0. A float is a fixed one of all heads.
      memory: a number of learned keys and values of each key/value head that every token sees beside the
        others, whatever the mask, as in all-attention. Neither rope, softcap nor `score` reaches them, and
        captured weights leave them out, as they do a sink.
      implementation: of `attnjax.attention`; None chooses.
      settings: those of `Attention`.

    Raises:
      ValueError: As in `Attention`; a number is out of its range; a sink comes with another normaliser, or
        memory with another mechanism or a normaliser other than softmax.

    References:
      Vaswani et al., Attention Is All You Need, 2017, arXiv:1706.03762.
      Gemma Team, Gemma 2, 2024, arXiv:2408.00118 (softcap).
      Beltagy et al., Longformer, 2020, arXiv:2004.05150 (window).
      Xiao et al., Efficient Streaming Language Models with Attention Sinks, 2023, arXiv:2309.17453.
      Sukhbaatar et al., Augmenting Self-attention with Persistent Memory, 2019, arXiv:1907.01470 (memory).

    Example:
      >>> import attnjax as aj
      >>> attention = SoftmaxAttention(8, 4, kv_heads=2, rope="halves", window=3, sink=True, rngs=nnx.Rngs(0))
      >>> attention(jnp.ones((2, 5, 8)), mask=aj.causal()).out.shape
      (2, 5, 8)
    """

    kind: ClassVar[Kind] = "softmax"
    has_weights = True
    has_sites = True
    takes_no: ClassVar[tuple[str, ...]] = ()
    """The rules of a call that a layer of another kind has its own of: comparison, normalizer."""

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        mechanism: str = "softmax",
        context_dim: int | None = None,
        values_dim: int | None = None,
        scale: float | None = None,
        softcap: float | None = None,
        score: Score | PositionScore | None = None,
        window: int | tuple[int, int] | None = None,
        normalizer: Normalizer | None = None,
        sink: bool | float = False,
        memory: int = 0,
        implementation: str | None = None,
        rngs: nnx.Rngs,
        **settings: Unpack[Settings],
    ) -> None:
        self.context_dim = dim if context_dim is None else context_dim
        self.values_dim = self.context_dim if values_dim is None else values_dim
        require_sizes(dim, heads, kv_heads=None, head_dim=1, context_dim=context_dim, values_dim=values_dim)
        widths = {"key": self.context_dim, "value": self.values_dim}
        layout = self._make(dim, heads, mechanism=mechanism, widths=widths, rngs=rngs, **settings)
        self.options = tuple(layout.arguments.items())
        self.has_weights = read(mechanism)[0].row.has_weights
        require_numbers("normalizer", normalizer)
        require_numbers("score", score)
        self.scale = scale
        self.softcap = None if softcap is None else scores.softcap(softcap)
        self.score = score
        self.window = None if window is None else reach(window)
        self.normalizer = normalizer
        param_dtype = settings.get("param_dtype", jnp.float32)
        self.sink: nnx.Param[Array] | float | None = nnx.data(own_sink(sink, normalizer, heads, param_dtype))
        self.memory = own_memory(memory, self, param_dtype, rngs) if memory else None
        self.implementation = implementation

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
        """Attends from every token of x.

        Args:
          x: the tokens that ask.
          context: the tokens to attend to, or their keys and values from `project`; None: x itself.
          values: the source of the values, where it is not that of the keys.
          mask: as in `attnjax.attention`. With a cache, S is its capacity, and masks by position take
            offset=cache.length; slots not yet filled are masked out here. Tokens of x that lengths(key=…)
            leaves out are padding: the cache does not keep them, and a row's next token takes their place.
            A cache of a window takes no array for all pairs, since it has no slots for all keys.
          score: as in `attnjax.attention`. With a cache, scores by position take offset=cache.length.
          normalizer: as in `attnjax.attention`, in place of the layer's. With a cache, one by position takes
            offset=cache.length.
          comparison: as in `attnjax.attention`.
          positions: of x for RoPE; they count from the cache's length, or 0, unless given.
          context_positions: of a context for RoPE, given with `positions`; both count from 0 otherwise. One
            that was projected has its own, and needs those of x.
          cache: earlier tokens of the same sequence, to which x is appended first.
          dropout: on the attention weights.
          capture: the heads and rows of the weights before dropout to return: [*B, |heads|, |rows|, S]; or
            the `Sites` of this layer.
          depth: what layers below left; a layer of another kind may read it, this one does not.

        Raises:
          ValueError: x or context is not D wide; a cache comes with a context, or is full; a capture is out
            of range; positions of x or of a context come alone; a mask, score or normaliser has offset 0
            beside a cache that holds tokens. Where a traced length hides that, or that a row is full, its
            output is NaN.
          TypeError: The cache is of another kind.
        """
        require_width("x", x, self.dim)
        require_together(self, context, cache, score=score, dropout=dropout, capture=capture)
        self._require_fits(context, values, mask, cache)
        for name, given in (("comparison", comparison), ("normalizer", normalizer)):
            if name in self.takes_no and given is not None:
                raise ValueError(f"{name} is {given!r}: {type(self).__name__} takes none, it has its own")
        held = cache if isinstance(cache, KVCache) else None
        before = 0 if held is None else held.length
        if self.rope is not None:
            positions, context_positions = counted(x, context, positions, context_positions, before)
        rules = self._rules(mask, score, normalizer, before) | {"comparison": comparison}
        counting = mask, score, rules["normalizer"]
        require_offsets(held, *counting)
        query = tapped(capture, "query", self._queries(x, positions))
        source = x if context is None else context
        if not isinstance(source, KeysValues):
            source = self.project(source, context_positions, values=values)
        source = self._of_depth(source, depth)
        if isinstance(capture, Sites):
            source = source._replace(keys=capture("key", source.keys))
        count = None if held is None else kept_tokens(mask, held.length, x.shape[-2])
        source, kept = self._remembered(x, query, source, held, count, rules)
        rules["mask"] = self._narrowed(rules["mask"], query, source, mask)
        weights = self._weights(capture, query, source, rules) if isinstance(capture, Capture) else None
        rules |= {
            "implementation": self.implementation,
            "dropout_rate": 0.0 if dropout is None else dropout.rate,
            "dropout_key": None if dropout is None else dropout.key,
        }
        out = sites_of_pairs(self, capture, query, source, rules) if isinstance(capture, Sites) else None
        if out is None:
            out, share = self._attended(x, query, source, rules, mask)
            weights = shared_with_memory(capture, weights, share)
        out = self.out(self._gated(tapped(capture, "heads", out), x))
        return AttentionOutput(nan_where_wrong(out, held, kept, *counting), kept, weights)

    def project(
        self,
        context: Float[Array, "*B S C"],
        positions: Int[Array, "*#B S"] | None = None,
        *,
        values: Float[Array, "*B S U"] | None = None,
    ) -> KeysValues:
        """Returns the keys and values of a context, which can be attended to many times.

        Args:
          context: the tokens.
          positions: of the context for RoPE; they count from 0 unless given.
          values: the source of the values, where it is not the context.

        Raises:
          ValueError: The context or the values have another width.
        """
        require_width("context", context, self.context_dim)
        values = context if values is None else values
        require_width("values", values, self.values_dim)
        if positions is None:
            positions = jnp.arange(context.shape[-2], dtype=jnp.int32)
        keys = self._rotated(normed(self.key(context), self.key_norm), positions)
        return KeysValues(keys, self.value(values))

    def empty_cache(self, batch: tuple[int, ...], capacity: int, dtype: DTypeLike) -> KVCache:
        """Returns a cache of free slots for `capacity` tokens of this dtype, or for those of a window."""
        sizes = {"kv_heads": self.kv_heads, "head_dim": self.head_dim, "value_dim": self.value_dim}
        return empty_slots(batch, capacity, self._looks_back(), dtype=dtype, **sizes)

    def _looks_back(self) -> int | None:
        """Returns the most tokens before its own that a token sees, whatever a call's mask; None: all."""
        # A layer of another kind may read more of its cache.
        return self.window[0] if self.window is not None and type(self) is SoftmaxAttention else None

    def _require_fits(self, context: Any, values: Any, mask: Any, cache: Any) -> None:
        """Raises TypeError or ValueError for what this kind of layer cannot be called with."""
        require_kind(cache, KVCache, self.mechanism)

    def _of_depth(self, source: KeysValues, depth: Depth | None) -> KeysValues:
        """Returns the keys and values of this call, with what they take from layers below."""
        return source

    def _queries(self, x: Float[Array, "*B T D"], positions: Any) -> Float[Array, "*B T N H"]:
        return self._rotated(normed(self.query(x), self.query_norm), positions)

    def _remembered(
        self,
        x: Array,
        query: Array,
        new: KeysValues,
        cache: Any,
        count: Int[Array, "*B"] | None,
        rules: dict[str, Any],
    ) -> tuple[KeysValues, Any]:
        """Returns what is attended to, and the cache with the new tokens; see `remembered`."""
        return (new, None) if cache is None else remembered(cache, new, count, rules)

    def _attend(self, query: Array, source: KeysValues, rules: dict[str, Any]) -> Float[Array, "*B T N V"]:
        """Returns what the heads read of keys and values, as they are projected or as a cache holds them."""
        attend = read(self.mechanism)[0].row.function
        keys, values = (heads.astype(query.dtype) for heads in source)
        attend = over_context(attend, query, keys, rules)
        return attend(query, keys, values, **taken(attend, rules), **dict(self.options))

    def _narrowed(self, mask: Any, query: Array, source: KeysValues, given: MaskLike | None) -> Any:
        """Returns the mask of a call, of what the layer chooses to see; `given`: that of the caller."""
        return mask

    def _attended(
        self, x: Array, query: Array, source: KeysValues, rules: dict[str, Any], given: MaskLike | None
    ) -> tuple[Float[Array, "*B T N V"], Float[Array, "*B N T"] | None]:
        """Returns what the heads read, and of a memory the share of the weights that it leaves.

        `given` is the mask of the caller.
        """
        if self.memory is None:
            return self._attend(query, source, rules), None
        out, share = self.memory.attend(query, *(heads.astype(query.dtype) for heads in source), **rules)
        return out, share

    def _rules(self, mask: Any, score: Any, normalizer: Normalizer | None, offset: Any) -> dict[str, Any]:
        """Returns the mask, score, normaliser and scale of a call, with those of the layer."""
        return rules_of_call(self, mask, score, normalizer, offset)

    def values_of(self, source: KeysValues, dtype: DTypeLike) -> Float[Array, "*B S K V"]:
        """Returns the values that the heads read, as the weights weigh them."""
        return source.values.astype(dtype)

    def mixed(
        self, weights: Float[Array, "*B N T S"], values: Float[Array, "*B S K V"]
    ) -> Float[Array, "*B T N V"]:
        """Returns what the heads read of values with these weights."""
        return mixed(weights, values)

    def _weights(
        self, capture: Capture | Sites, query: Array, source: KeysValues, rules: dict[str, Any]
    ) -> Float[Array, "*B N T S"]:
        return asked_weights(capture, query, source.keys, rules, heads=self.heads)
