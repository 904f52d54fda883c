"""The base of attention layers: sizes, projections, norms and rotations of queries and keys."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, TypedDict

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from attnjax.nn.attention.cache import KeysValues, KVCache, StateCache
from attnjax.nn.attention.capture import Capture
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.sizes import Layout, make_layout, require_rope, require_sizes
from attnjax.nn.axes import named
from attnjax.nn.dot import flat_dot_general
from attnjax.nn.dropout import Dropout
from attnjax.nn.norm import Norm, make_norm
from attnjax.nn.projection import into_heads
from attnjax.ops import positions as position_ops
from attnjax.ops.masks import Mask
from attnjax.ops.scores import Score

MaskLike = Mask | Bool[Array, "*#B #N #T #S"]
ScoreLike = Score | Sequence[Score]
Rope = Literal["halves", "interleaved"]
PROJECTED = ("query", "key", "value")


class Settings(TypedDict, total=False):
    """The settings that every kind of layer takes, as in `Attention`."""

    options: Mapping[str, Any] | None
    kv_heads: int | None
    head_dim: int | None
    value_dim: int | None
    bias: bool
    qk_norm: bool
    rope: Rope | None
    dtype: DTypeLike | None
    param_dtype: DTypeLike


class Attention(nnx.Module):
    """Multi-head attention; calling it by this name makes the layer of a mechanism.

    `Attention(…)` returns a `SoftmaxAttention`, a `RecurrentAttention` where `mechanism` names a member of
    the linear family, or a `ComposedAttention` of recipes; their documentation has the settings of each.

    Args:
      dim: D, of x, of the context and of the output.
      heads, kv_heads, head_dim, value_dim: N, K (default N), H (default dim/heads) and V (default H).
        kv_heads = heads is multi-head, 1 multi-query, a divisor between them grouped-query attention.
      mechanism: "softmax", a member of the linear family ("gla", "gated_delta_net", …), or recipes
        ("window(size=16) & entmax").
      options: of the mechanism: numbers of it (`layer`, `horizon`, …), or `writes`, `slots`, `levels`,
        `features`. Softmax takes none.
      bias: whether the four projections have one.
      qk_norm: RMSNorm of each query and key head, learned per entry; as in Qwen3.
      rope: rotates queries and keys by their position after qk_norm, in one of two layouts. In any mechanism,
        where asked for: RetNet rotates, the papers of other recurrences leave order to the recurrence.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.

    Raises:
      ValueError: Sizes are below 1 or do not divide; rope is unknown, or the head size odd; the mechanism is
        unknown, or does not take what it is given.

    References:
      Vaswani et al., Attention Is All You Need, 2017, arXiv:1706.03762.
      Shazeer, Fast Transformer Decoding, 2019, arXiv:1911.02150 (multi-query).
      Ainslie et al., GQA, 2023, arXiv:2305.13245.
      Su et al., RoFormer, 2021, arXiv:2104.09864.
      Henry et al., Query-Key Normalization for Transformers, 2020, arXiv:2010.04245.

    Example:
      >>> type(Attention(8, 4, rngs=nnx.Rngs(0))).__name__
      'SoftmaxAttention'
      >>> type(Attention(8, 4, mechanism="gla", rngs=nnx.Rngs(0))).__name__
      'RecurrentAttention'
    """

    has_weights: ClassVar[bool]
    """Whether there are attention weights, to drop out and to capture."""

    def __new__(
        cls, dim: int, heads: int, *, mechanism: str = "softmax", rngs: nnx.Rngs, **settings: Any
    ) -> "Attention":
        """Chooses the class by the mechanism, unless it was chosen already."""
        if cls is not Attention:
            return super().__new__(cls)
        from attnjax.nn.attention.make import layer_class

        return super().__new__(layer_class(mechanism))

    def _make(
        self,
        dim: int,
        heads: int,
        *,
        mechanism: str,
        options: Mapping[str, Any] | None = None,
        kv_heads: int | None = None,
        head_dim: int | None = None,
        value_dim: int | None = None,
        bias: bool = True,
        qk_norm: bool = False,
        rope: Rope | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> Layout:
        """Makes what every kind has, and returns the axes of what this one projects."""
        require_sizes(dim, heads, kv_heads=kv_heads, head_dim=head_dim, value_dim=value_dim)
        self.dim = dim
        self.heads = heads
        self.kv_heads = heads if kv_heads is None else kv_heads
        self.head_dim = dim // heads if head_dim is None else head_dim
        self.value_dim = self.head_dim if value_dim is None else value_dim
        self.mechanism = mechanism
        self.rope = rope
        require_rope(rope, self.head_dim)
        layout = make_layout(
            mechanism,
            options or {},
            heads=heads,
            kv_heads=self.kv_heads,
            head_dim=self.head_dim,
            value_dim=self.value_dim,
        )
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.query, self.key, self.value = (
            into_heads(dim, layout.projected[name], bias=bias, **common) for name in PROJECTED
        )
        self.out = nnx.LinearGeneral(
            (heads, self.value_dim),
            dim,
            axis=(-2, -1),
            use_bias=bias,
            kernel_init=nnx.initializers.xavier_uniform(),
            kernel_metadata=named("heads", "head_dim", "embed"),
            bias_metadata=named("embed"),
            dot_general=flat_dot_general,
            **common,
        )
        self.query_norm = make_norm("rms", self.head_dim, axis="head_dim", **common) if qk_norm else None
        self.key_norm = make_norm("rms", self.head_dim, axis="head_dim", **common) if qk_norm else None
        return layout

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
        capture: Capture | None = None,
    ) -> AttentionOutput:
        """Attends from every token of x to those that the mask lets it see.

        A recurrence takes no context, score, dropout or capture.
        """
        raise NotImplementedError

    def empty_cache(self, batch: tuple[int, ...], capacity: int, dtype: DTypeLike) -> KVCache | StateCache:
        """Returns a cache for tokens of this dtype: of `capacity` free slots, or of a state."""
        raise NotImplementedError

    def _require_width(self, name: str, x: Array) -> None:
        if x.ndim < 2 or x.shape[-1] != self.dim:
            raise ValueError(f"{name} {list(x.shape)}: expected (*B, length, {self.dim})")

    def _place(self, heads: Array, norm: Norm | None, positions: Array | None) -> Array:
        """Heads [*B, T, N, H], normed and rotated where the layer does so."""
        heads = heads if norm is None else norm(heads)
        if self.rope is None or positions is None:
            return heads
        return position_ops.rope(heads, positions, interleaved=self.rope == "interleaved")


def require_kind(cache: object, kind: type, mechanism: str) -> None:
    """Raises TypeError for a cache of another kind."""
    if cache is not None and not isinstance(cache, kind):
        raise TypeError(f"cache is a {type(cache).__name__}: expected the {kind.__name__} of {mechanism}")
