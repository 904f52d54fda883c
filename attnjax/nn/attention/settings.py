"""Settings of the parts of attention layers: frozen, hashable, free of parameters."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, TypeVar, get_args

from jax.typing import DTypeLike

from attnjax.mechanisms import Recurrence
from attnjax.ops.positions import RopeScaling

Layout = Literal["halves", "interleaved"]
NormKind = Literal["rms", "rms_offset", "layer", "l2"]
GateOf = Literal["elementwise", "headwise"]
Activation = Literal["sigmoid", "silu"]
PROJECTIONS = ("query", "key", "value", "out")
T = TypeVar("T")


@dataclass(frozen=True)
class Rope:
    """Rotary positions of queries and keys; the formula is that of `attnjax.ops.positions.rope`.

    Attributes:
      layout: "halves" (GPT-NeoX, Llama in transformers) or "interleaved" (the paper, GPT-J).
      base: of the wavelengths, in radians per token.
      fraction: share of each head that is rotated, in (0, 1].
      scaling: other frequencies for longer texts, such as `YarnScaling`.

    Raises:
      ValueError: The layout is another, or the base or the fraction out of range.
      TypeError: The scaling is none.

    References:
      Su et al., RoFormer: Enhanced Transformer with Rotary Position Embedding, 2021, arXiv:2104.09864.

    Example:
      >>> Rope(base=1e6, fraction=0.5).layout
      'halves'
    """

    layout: Layout = "halves"
    base: float = 10_000.0
    fraction: float = 1.0
    scaling: RopeScaling | None = None

    def __post_init__(self) -> None:
        if self.layout not in get_args(Layout):
            raise ValueError(f"rope {self.layout!r}: expected None, 'halves' or 'interleaved'")
        if not self.base > 0:
            raise ValueError(f"rope base {self.base!r}: expected a positive number")
        if not 0 < self.fraction <= 1:
            raise ValueError(f"rope fraction {self.fraction!r}: expected a number in (0, 1]")
        if self.scaling is not None and not isinstance(self.scaling, RopeScaling):
            raise TypeError(f"rope scaling {self.scaling!r}: expected a RopeScaling, or None")

    def require_fits(self, head_dim: int) -> None:
        """Raises ValueError for a head size of which it cannot rotate pairs."""
        rotated = round(head_dim * self.fraction)
        if rotated < 2 or rotated % 2:
            expected = "an even head size" if self.fraction == 1 else "to rotate an even number of entries"
            raise ValueError(f"rope {self.layout!r}: expected {expected}, got {rotated}")


@dataclass(frozen=True)
class HeadNorm:
    """A norm of heads [*B, T, N, H].

    Attributes:
      kind: "rms" is x/√(mean(x²) + ε), "rms_offset" the same with a gain of 1 + γ, "layer"
        (x - mean)/√(var + ε), "l2" x/√(Σx² + ε).
      groups: statistics are of each of so many groups of neighbouring heads; None: of each head. OLMo 2 has
        one group for qk-norm, Mamba-2 one per group of B and C.
      gain: "shared": learned for each channel, one for all heads, as in Qwen3; "each": learned for each
        channel of each head, as in Cohere's models; "none": as in Llama 4. More than one head in a group has
        "each" or "none".
      eps: ε, in the unit of x².

    Raises:
      ValueError: A field is none of these.

    References:
      Zhang & Sennrich, Root Mean Square Layer Normalization, 2019, arXiv:1910.07467.
      Henry et al., Query-Key Normalization for Transformers, 2020, arXiv:2010.04245 ("l2").
      Dehghani et al., Scaling Vision Transformers to 22 Billion Parameters, 2023, arXiv:2302.05442 ("layer").

    Example:
      >>> HeadNorm("layer", groups=1, gain="each").eps
      1e-06
    """

    kind: NormKind = "rms"
    groups: int | None = None
    gain: Literal["shared", "each", "none"] = "shared"
    eps: float = 1e-6

    def __post_init__(self) -> None:
        _require_one_of("norm kind", self.kind, get_args(NormKind))
        _require_one_of("norm gain", self.gain, ("shared", "each", "none"))
        if self.groups is not None and self.groups < 1:
            raise ValueError(f"norm groups {self.groups}: expected None, or 1 or more")
        if self.groups is not None and self.gain == "shared":
            raise ValueError(f"norm groups {self.groups} with a shared gain: expected gain 'each' or 'none'")
        if self.kind == "rms_offset" and self.gain != "shared":
            raise ValueError(f"norm kind 'rms_offset' with gain {self.gain!r}: expected a shared one")
        if not self.eps >= 0:
            raise ValueError(f"norm eps {self.eps!r}: expected a number of at least 0")


@dataclass(frozen=True)
class OutputGate:
    """A gate on what the heads read, before the last projection: heads ⊙ f(x W).

    Attributes:
      kind: "elementwise" has a gate for each channel of each head, "headwise" one for each head.
      activation: f, "sigmoid" (Qwen3-Next, Kimi Linear) or "silu" (RetNet, GLA, Gated DeltaNet).
      rank: of W = W₁W₂; None: W is whole.
      bias: whether there is a bias beside x W.
      before_norm: whether the gate comes before the norm of a recurrence, as in Mamba-2, not after it.

    Raises:
      ValueError: A field is none of these.

    References:
      Qiu et al., Gated Attention for Large Language Models, 2025, arXiv:2505.06708.
      Sun et al., Retentive Network, 2023, arXiv:2307.08621.
      Dao & Gu, Transformers are SSMs, 2024, arXiv:2405.21060.

    Example:
      >>> OutputGate("headwise").activation
      'sigmoid'
    """

    kind: GateOf = "elementwise"
    activation: Activation = "sigmoid"
    rank: int | None = None
    bias: bool = False
    before_norm: bool = False

    def __post_init__(self) -> None:
        _require_one_of("output_gate", self.kind, get_args(GateOf))
        _require_one_of("output_gate activation", self.activation, get_args(Activation))
        if self.rank is not None and self.rank < 1:
            raise ValueError(f"output_gate rank {self.rank}: expected None, or 1 or more")


@dataclass(frozen=True)
class Convolution:
    """A short causal convolution of each channel of queries, keys and values.

    Attributes:
      width: tokens that it takes in.
      bias: whether each channel has a bias.

    Raises:
      ValueError: The width is below 1.

    References:
      Gu & Dao, Mamba, 2023, arXiv:2312.00752.

    Example:
      >>> Convolution(bias=True).width
      4
    """

    width: int = 4
    bias: bool = False

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"convolution width {self.width}: expected 1 or more")


@dataclass(frozen=True)
class RecurrentSettings:
    """The settings of a recurrence, as in `RecurrentAttention`."""

    convolution: Convolution | bool | None = None
    activation: Literal["silu", "none"] | None = None
    max_strength: float = 1.0
    strength_bias: bool = True
    decay: Literal["logsigmoid", "softplus"] | None = None

    def require_fits(self, mechanism: str, member: Recurrence) -> None:
        """Raises ValueError for what is out of range, or what the mechanism has no use for."""
        if self.activation not in ("silu", "none", None):
            raise ValueError(f"activation {self.activation!r}: expected 'silu', 'none' or None")
        if self.decay not in ("logsigmoid", "softplus", None):
            raise ValueError(f"decay {self.decay!r}: expected 'logsigmoid', 'softplus' or None")
        if not 0 < self.max_strength <= 2:
            raise ValueError(f"max_strength {self.max_strength!r}: expected a number in (0, 2]")
        ranges = [gate.range for gate in member.gates.values()]
        for name, given, needed in (
            ("max_strength", self.max_strength != 1, "strength"),
            ("strength_bias", not self.strength_bias, "strength"),
            ("decay", self.decay is not None, "log_decay"),
        ):
            if given and needed not in ranges:
                raise ValueError(f"{name} {getattr(self, name)!r}: {mechanism} has no such gate")

    def of_convolution(self, member: Recurrence) -> Convolution | None:
        """Returns the convolution, by default that of the paper's layer."""
        given = member.short_convolution if self.convolution is None else self.convolution
        if isinstance(given, Convolution):
            return given
        return Convolution() if given else None

    def activates(self, member: Recurrence) -> bool:
        """Returns True where queries, keys and values go through silu, by default after a convolution."""
        if self.activation is None:
            return self.of_convolution(member) is not None
        return self.activation == "silu"


class Settings(TypedDict, total=False):
    """The settings that every kind of layer takes, as in `Attention`."""

    options: Mapping[str, Any] | None
    kv_heads: int | None
    head_dim: int | None
    value_dim: int | None
    out_dim: int | None
    bias: bool | Collection[str]
    qk_norm: bool | HeadNorm
    rope: Layout | Rope | None
    output_gate: GateOf | OutputGate | None
    dtype: DTypeLike | None
    param_dtype: DTypeLike


def as_rope(rope: Layout | Rope | None) -> Rope | None:
    """Returns the rope that a setting says; a layout alone stands for the rope of that layout."""
    return rope if rope is None or isinstance(rope, Rope) else Rope(rope)


def as_norm(norm: bool | HeadNorm) -> HeadNorm | None:
    """Returns the norm that a setting says; True stands for an RMSNorm of each head."""
    if isinstance(norm, HeadNorm):
        return norm
    return HeadNorm() if norm else None


def as_gate(gate: GateOf | OutputGate | None, activation: Activation = "sigmoid") -> OutputGate | None:
    """Returns the gate that a setting says; a kind alone stands for the gate of that kind."""
    return gate if gate is None or isinstance(gate, OutputGate) else OutputGate(gate, activation)


def biased(bias: bool | Collection[str]) -> tuple[str, ...]:
    """Returns the names of the projections that have a bias.

    Raises:
      ValueError: A name is none of query, key, value, out.

    Example:
      >>> biased(True), biased(("query", "key"))
      (('query', 'key', 'value', 'out'), ('query', 'key'))
    """
    if isinstance(bias, bool):
        return PROJECTIONS if bias else ()
    names = (bias,) if isinstance(bias, str) else tuple(bias)
    for name in names:
        if name not in PROJECTIONS:
            raise ValueError(f"bias {name!r}: expected True, False, or some of {', '.join(PROJECTIONS)}")
    return names


def _require_one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} {value!r}: expected one of {', '.join(choices)}")
