"""The base of attention layers: sizes, projections, norms and rotations of queries and keys."""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from attnjax.mechanisms import read
from attnjax.mechanisms.base import Kind
from attnjax.nn.attention.cache import KeysValues, KVCache, StateCache
from attnjax.nn.attention.head_norm import Norm, make_head_norm
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.output_gate import OutputGating
from attnjax.nn.attention.placing import MaskLike
from attnjax.nn.attention.settings import (
    PROJECTIONS,
    Activation,
    GateOf,
    HeadNorm,
    Layout,
    OutputGate,
    Rope,
    as_gate,
    as_norm,
    as_rope,
    biased,
)
from attnjax.nn.attention.sizes import Layout as Axes
from attnjax.nn.attention.sizes import make_layout, require_sizes, with_key_heads
from attnjax.nn.dropout import Dropout
from attnjax.nn.projection import into_heads, out_of_heads
from attnjax.nn.taps import Request
from attnjax.ops import positions as position_ops
from attnjax.ops.scores import Score

ScoreLike = Score | Sequence[Score]


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
      out_dim: the width of the output; None: D.
      bias: whether the projections have one, or the names of those that have: query, key, value, out.
      qk_norm: a norm of queries and keys, each with a gain of its own; True is an RMSNorm of each head, as in
        Qwen3, `HeadNorm(groups=1, gain="each")` that of OLMo 2.
      rope: rotates queries and keys by their position after qk_norm: a layout, or a `Rope` with base,
        fraction and scaling. In any mechanism, where asked for: RetNet rotates, the papers of other
        recurrences leave order to the recurrence.
      output_gate: multiplies the heads before the last projection: "elementwise", "headwise", or an
        `OutputGate`.
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

    has_weights: bool
    """True where there are attention weights, to drop out and to capture."""
    has_sites: ClassVar[bool] = False
    """True where its capture may be the `Sites` of taps."""
    reads_depth: ClassVar[bool] = False
    """True where it takes a `Depth`, what layers below left."""
    kind: ClassVar[Kind]
    """The kind of mechanisms that it is for."""
    _layers: ClassVar[dict[Kind, type["Attention"]]] = {}
    """The kinds of layer; each enters itself."""
    _activation: ClassVar[Activation] = "sigmoid"

    def __new__(
        cls, dim: int, heads: int, *, mechanism: str = "softmax", rngs: nnx.Rngs, **settings: Any
    ) -> "Attention":
        """Chooses the class by the mechanism, unless it was chosen already."""
        if cls is not Attention:
            return super().__new__(cls)
        return super().__new__(cls._layers[read(mechanism)[0].kind])

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._layers.setdefault(cls.kind, cls)

    def _make(
        self,
        dim: int,
        heads: int,
        *,
        mechanism: str,
        options: Mapping[str, Any] | None = None,
        kv_heads: int | None = None,
        key_heads: int | None = None,
        head_dim: int | None = None,
        value_dim: int | None = None,
        out_dim: int | None = None,
        widths: Mapping[str, int] = MappingProxyType({}),
        bias: bool | Collection[str] = True,
        qk_norm: bool | HeadNorm = False,
        rope: Layout | Rope | None = None,
        output_gate: GateOf | OutputGate | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> Axes:
        """Makes the parts that every kind has, and returns the axes of the projections of this one.

        `widths` are those of the sources of keys and values, where they are not D.
        """
        require_sizes(dim, heads, kv_heads=kv_heads, head_dim=head_dim, value_dim=value_dim, out_dim=out_dim)
        self.dim = dim
        self.heads = heads
        self.kv_heads = heads if kv_heads is None else kv_heads
        self.head_dim = dim // heads if head_dim is None else head_dim
        self.value_dim = self.head_dim if value_dim is None else value_dim
        self.mechanism = mechanism
        self.rope = as_rope(rope)
        if self.rope is not None:
            self.rope.require_fits(self.head_dim)
        layout = make_layout(
            mechanism,
            options or {},
            heads=heads,
            kv_heads=self.kv_heads,
            head_dim=self.head_dim,
            value_dim=self.value_dim,
        )
        if key_heads is not None:
            layout = with_key_heads(layout, key_heads, heads=heads, kv_heads=kv_heads)
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        names = biased(bias)
        self._project_into(layout, {name: widths.get(name, dim) for name in PROJECTIONS[:3]}, names, common)
        read = {"heads": heads, "head_dim": self.value_dim}
        self.out = out_of_heads(read, dim if out_dim is None else out_dim, bias="out" in names, **common)
        norm = as_norm(qk_norm)
        self.query_norm, self.key_norm = (
            None if norm is None else make_head_norm(norm, **_heads(layout.projected[name]), **common)
            for name in ("query", "key")
        )
        gate = as_gate(output_gate, self._activation)
        self.output_gate = None if gate is None else OutputGating(gate, dim, heads, self.value_dim, **common)
        return layout

    def _project_into(
        self, layout: Axes, widths: Mapping[str, int], biases: Collection[str], common: Mapping[str, Any]
    ) -> None:
        """Makes the projections of query, key and value from sources of these widths."""
        self.query, self.key, self.value = (
            into_heads(width, layout.projected[name], bias=name in biases, **common)
            for name, width in widths.items()
        )

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
        """Attends from every token of x to those that the mask lets it see.

        A recurrence takes no context, score, dropout or capture.
        """
        raise NotImplementedError

    def empty_cache(self, batch: tuple[int, ...], capacity: int, dtype: DTypeLike) -> KVCache | StateCache:
        """Returns a cache for tokens of this dtype: of `capacity` free slots, or of a state."""
        raise NotImplementedError

    def _gated(self, heads: Array, x: Array) -> Array:
        return heads if self.output_gate is None else self.output_gate(heads, x)

    def _rotated(self, heads: Array, positions: Array | None) -> Array:
        """Returns heads [*B, T, N, H], rotated where the layer has a rope."""
        rope = self.rope
        if rope is None or positions is None:
            return heads
        interleaved = rope.layout == "interleaved"
        options: dict[str, Any] = {"base": rope.base, "fraction": rope.fraction, "scaling": rope.scaling}
        return position_ops.rope(heads, positions, interleaved=interleaved, **options)


def normed(heads: Array, norm: Norm | None) -> Array:
    """Returns the heads under a norm, where there is one."""
    return heads if norm is None else norm(heads)


def require_kind(cache: object, kind: type, mechanism: str) -> None:
    """Raises TypeError for a cache of another kind."""
    if cache is not None and not isinstance(cache, kind):
        raise TypeError(f"cache is a {type(cache).__name__}: expected the {kind.__name__} of {mechanism}")


def require_width(name: str, x: Array, width: int) -> None:
    """Raises ValueError for tokens of another width."""
    if x.ndim < 2 or x.shape[-1] != width:
        raise ValueError(f"{name} {list(x.shape)}: expected (*B, length, {width})")


def _heads(axes: Mapping[str, int]) -> dict[str, Any]:
    """Returns the last two of the axes of projected heads, as `make_head_norm` takes them."""
    axis, size = list(axes)[-2:]
    return {"heads": axes[axis], "size": axes[size], "axis": axis}
