"""The layer of a linear or recurrent mechanism: self-attention in time linear in T."""

import math
from functools import partial
from typing import Any, Literal, Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from attnjax.nn.attention.base import Attention, MaskLike, ScoreLike, normed, require_kind, require_width
from attnjax.nn.attention.cache import KeysValues, KVCache, StateCache, require_floats
from attnjax.nn.attention.head_norm import make_head_norm
from attnjax.nn.attention.mask_reading import read_recurrent_mask
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.placing import counted, right_padded, shifted, shifted_positions
from attnjax.nn.attention.recurrence import Projected, RecurrentMixer
from attnjax.nn.attention.settings import Convolution, HeadNorm, RecurrentSettings, Settings
from attnjax.nn.attention.sizes import require_goes_with
from attnjax.nn.dropout import Dropout
from attnjax.nn.taps import Request, Sites, tapped


class RecurrentAttention(Attention):
    """Self-attention by a recurrence over the tokens, whose cache has one size after any number of them.

    The layer has the gates that the mechanism declares (`mechanisms.Recurrence`), a short convolution of
    query, key and value where its paper has one, keys and queries of length 1 where it asks for them, and a
    norm of what the heads read, before the last projection. States have H·V entries a head, or what the
    mechanism's `state` says.

    Args:
      dim, heads: as in `Attention`.
      mechanism: a member of the linear family.
      key_heads: heads of queries and keys, where values have more: each serves heads/key_heads of these.
      convolution: of query, key and value; None: that of the mechanism's paper, False: none.
      activation: "silu" or "none", of query, key and value; None: silu after a convolution.
      norm: of what the heads read; None: there is none.
      max_strength: what a strength can reach, in (0, 2]; beyond 1 the delta rules can turn states around.
      strength_bias: whether the gates σ(x W + b) of strengths have a b.
      decay: "softplus" is -exp(a)·softplus(x W + b) with a for each head, as in Mamba-2 and Kimi Delta
        Attention; "logsigmoid" log σ(x W + b)/16, as in GLA; None: that of the mechanism's paper.
      settings: those of `Attention`. The activation of an output gate that is only named is silu.

    Raises:
      ValueError: As in `Attention`, and for a setting that is out of its range or that the mechanism has no
        use for.

    References:
      Grazzi et al., Unlocking State-Tracking in Linear RNNs Through Negative Eigenvalues, 2024,
      arXiv:2411.12537 (max_strength).

    Example:
      >>> from attnjax.ops import masks
      >>> layer = RecurrentAttention(8, 4, mechanism="gated_delta_net", rngs=nnx.Rngs(0))
      >>> list(layer.recurrence.gates)
      ['decay', 'strength']
      >>> cache = layer.empty_cache((2,), 5, jnp.float32)
      >>> layer(jnp.ones((2, 5, 8)), mask=masks.causal(), cache=cache).cache.state.shape
      (2, 4, 2, 2)
    """

    kind = "recurrence"
    has_weights = False
    has_sites = True
    _activation = "silu"

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        mechanism: str,
        key_heads: int | None = None,
        convolution: Convolution | bool | None = None,
        activation: Literal["silu", "none"] | None = None,
        norm: HeadNorm | None = HeadNorm(),  # noqa: B008, it is frozen
        max_strength: float = 1.0,
        strength_bias: bool = True,
        decay: Literal["logsigmoid", "softplus"] | None = None,
        rngs: nnx.Rngs,
        **settings: Unpack[Settings],
    ) -> None:
        layout = self._make(dim, heads, mechanism=mechanism, key_heads=key_heads, rngs=rngs, **settings)
        require_goes_with(mechanism, rope=settings.get("rope"), qk_norm=settings.get("qk_norm") or None)
        options: dict[str, Any] = {"dtype": settings.get("dtype"), "rngs": rngs}
        options["param_dtype"] = settings.get("param_dtype", jnp.float32)
        own = RecurrentSettings(convolution, activation, max_strength, strength_bias, decay)
        self.recurrence = RecurrentMixer(mechanism, layout, dim, own, **options)
        self.norm = None if norm is None else make_head_norm(norm, heads, self.value_dim, **options)
        if settings.get("options"):
            # The member's own checks of them, by a call that computes nothing.
            self.empty_cache((), 1, jnp.float32)

    def __call__(
        self,
        x: Float[Array, "*B T D"],
        context: Float[Array, "*B S D"] | KeysValues | None = None,
        *,
        mask: MaskLike | None = None,
        score: ScoreLike | None = None,
        positions: Int[Array, "*#B T"] | None = None,
        context_positions: Int[Array, "*#B S"] | None = None,
        cache: KVCache | StateCache | None = None,
        dropout: Dropout | None = None,
        capture: Request = None,
    ) -> AttentionOutput:
        """Reads for every token of x what the recurrence holds of those that the mask lets it see.

        Args:
          x: the tokens.
          context: None; a recurrence is over x itself.
          mask: causal(), lengths(key=…), ~lengths(key=…) and segments(ids), joined by &. What lengths leaves
            out is padding: on the right for lengths, on the left for ~lengths. With a cache lengths count
            from its first token, and what is on the left from the first of x. Segments are runs of one id.
            Without causal() the recurrence runs in both directions, as `bidirectional` says, but for the
            short convolution, which looks back.
          score: None; a recurrence has no scores.
          positions: of x for RoPE; those of tokens count from the cache's length, or 0, unless given.
          context_positions: None; there is no context.
          cache: earlier tokens of the same sequence. Padding leaves its contents as they were.
          dropout: None; a recurrence has no weights.
          capture: None, a recurrence has no weights; or the `Sites` of this layer. The weights there are the
            map [*B, N, T, S] from values to reads that the recurrence stands for.

        Raises:
          ValueError: An argument that has to be None is given; x is not D wide; the mask has other parts, or
            does not fit the cache.
          TypeError: The cache is of another kind.
        """
        require_width("x", x, self.dim)
        sites = capture if isinstance(capture, Sites) else None
        asked = None if sites is not None else capture
        self._require_none(context=context, score=score, dropout=dropout, capture=asked)
        require_kind(cache, StateCache, self.mechanism)
        kept = cache if isinstance(cache, StateCache) else None
        reading = read_recurrent_mask(mask, self.mechanism, kept, x.shape[:-2])
        turned = reading.starts
        if turned is not None:
            if sites is not None:
                raise ValueError(f"capture with padding on the left: sites of {self.mechanism} need it right")
            # Padding on the left becomes padding on the right, which the recurrence never reaches.
            x, reading = shifted(x, turned), right_padded(reading, x.shape[-2])
            positions = None if positions is None else shifted_positions(positions, turned, x.shape[:-1])
        if self.rope is not None:
            before = 0 if kept is None else kept.length
            positions, _ = counted(x, None, positions, context_positions, before)
        place = partial(self._placed, positions=positions)
        heads, after = self.recurrence(x, self._projected(x), place, reading, kept, sites)
        heads = tapped(capture, "heads", heads)
        out = self.out(self._normed_and_gated(heads, x))
        out = out if turned is None else shifted(out, -turned)
        return AttentionOutput(out, None if kept is None else after, None)

    def empty_cache(self, batch: tuple[int, ...], capacity: int, dtype: DTypeLike) -> StateCache:
        """Returns the cache before tokens of this dtype; it has one size at any capacity."""
        require_floats(dtype)
        token = jax.ShapeDtypeStruct((*batch, 1, self.dim), dtype)
        return self.recurrence.empty_cache(self._projected, token)

    def _normed_and_gated(self, heads: Array, x: Array) -> Array:
        gate = self.output_gate
        if gate is not None and gate.settings.before_norm:
            return normed(gate(heads, x), self.norm)
        return self._gated(normed(heads, self.norm), x)

    def _require_none(self, **arguments: object) -> None:
        for name, given in arguments.items():
            if given is not None:
                raise ValueError(f"{name} is given: {self.mechanism} takes none, it is a recurrence over x")

    def _projected(self, x: Array) -> Projected:
        return Projected(self.query(x), self.key(x), self.value(x))

    def _placed(self, heads: Projected, positions: Array | None) -> Projected:
        query = self._rotated(normed(heads.query, self.query_norm), positions)
        key = normed(heads.key, self.key_norm)
        # A token may have several keys, one for each write.
        writes = math.prod(key.shape[query.ndim - 2 : -1])
        flat = key.reshape(*query.shape[:-2], writes, self.head_dim)
        return heads._replace(query=query, key=self._rotated(flat, positions).reshape(key.shape))
