"""The members as data: what a layer has to project for each, and what it may expect."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from attnjax.ops.linear.members import (
    decayed,
    delta,
    delta_product,
    gated,
    gated_slot,
    kernels,
    log_linear,
    mesa,
    taylor,
)

Range = Literal["log_decay", "strength", "rate", "positive", "unit", "free", "random"]
TwoSided = Literal["sum", "quotient", "mean"]


@dataclass(frozen=True)
class Gate:
    """An argument beside query, key and value.

    `axes`: its shape, with the sizes of `linear_attention` and M slots, L levels, F features. `range`:
    "log_decay" at most 0; "strength" in [0, 1] (the delta rules: up to 2); "positive" above 0; "rate" below
    0; "unit" a vector of length 1; "free" any number; "random" drawn once and not learned. `start`: where a
    layer's values of a "free", "positive" or (in size) "rate" gate begin, drawn log-uniformly from a pair.
    """

    axes: str
    range: Range
    optional: bool = False
    start: float | tuple[float, float] = 1.0

    @property
    def per_token(self) -> bool:
        """A layer projects it from its inputs; otherwise it is a parameter."""
        return self.axes.startswith("*B T")


@dataclass(frozen=True)
class Member:
    """One member.

    key: what comes as the second argument: "free"; "unit", keys of length 1; "log_forget", log-decays [*B, T,
        K, H] that stand for the key; "writes", unit keys with an axis M after T (so have the values).
    many_values: values have more heads K than queries and keys have groups G, which then share them.
    unit_query: queries should have length 1 too. short_convolution: the paper's layer has one before queries,
        keys and values. two_sided: how `bidirectional` joins both directions; None: causal only.
    state: the shape of the state, or of each of its parts.

    >>> {name: gate.axes for name, gate in MEMBERS["gated_delta_net"].gates.items()}
    {'decay': '*B T K', 'strength': '*B T K'}
    """

    function: Callable[..., Any]
    paper: str
    state: str | Mapping[str, str]
    gates: Mapping[str, Gate] = field(default_factory=dict)
    key: Literal["free", "unit", "log_forget", "writes"] = "free"
    many_values: bool = False
    unit_query: bool = False
    short_convolution: bool = False
    two_sided: TwoSided | None = None


def _member(function: Callable[..., Any], paper: str, state: Any = "*B K H V", **fields: Any) -> Member:
    gates = MappingProxyType(fields.pop("gates", {}))
    return Member(function, paper, state, gates, **fields)


def _table(*members: Member) -> Mapping[str, Member]:
    return MappingProxyType({member.function.__name__: member for member in members})


_HEAD_DECAY, _CHANNEL_DECAY = Gate("*B T K", "log_decay"), Gate("*B T K H", "log_decay")
_STRENGTH = Gate("*B T K", "strength")
_GAIN, _SHIFT = Gate("H", "free", optional=True), Gate("H", "free", optional=True, start=0.0)

MEMBERS: Mapping[str, Member] = _table(
    _member(kernels.linear, "Katharopoulos et al., 2020", "*B K F V+1", two_sided="quotient"),
    _member(decayed.retention, "Sun et al., 2023", two_sided="sum"),
    _member(decayed.lightning, "Qin et al., 2024", two_sided="sum"),
    _member(decayed.simple_gla, "Sun et al., 2024", gates={"decay": _HEAD_DECAY}, two_sided="sum"),
    _member(
        decayed.mamba2,
        "Dao & Gu, 2024",
        gates={
            "dt": Gate("*B T K", "positive", start=(1e-3, 1e-1)),
            "rate": Gate("K", "rate", start=(1.0, 16.0)),
            "skip": Gate("K", "free", optional=True),
        },
        many_values=True,
        short_convolution=True,
        two_sided="sum",
    ),
    _member(gated.gla, "Yang et al., 2023", gates={"decay": _CHANNEL_DECAY}, two_sided="sum"),
    _member(gated.hgrn2, "Qin et al., 2024", key="log_forget", two_sided="sum"),
    _member(
        gated.rwkv6,
        "Peng et al., 2024",
        gates={"decay": _CHANNEL_DECAY, "bonus": Gate("K H", "free")},
        two_sided="sum",
    ),
    _member(
        delta.delta_net,
        "Yang et al., 2024",
        gates={"strength": _STRENGTH},
        key="unit",
        unit_query=True,
        short_convolution=True,
        two_sided="mean",
    ),
    _member(
        delta.gated_delta_net,
        "Yang et al., 2024",
        gates={"decay": _HEAD_DECAY, "strength": _STRENGTH},
        key="unit",
        unit_query=True,
        short_convolution=True,
        two_sided="mean",
    ),
    _member(
        delta.kda,
        "Kimi Team, 2025",
        gates={"decay": _CHANNEL_DECAY, "strength": _STRENGTH},
        key="unit",
        unit_query=True,
        short_convolution=True,
        two_sided="mean",
    ),
    _member(
        delta_product.delta_product,
        "Siems et al., 2025",
        gates={
            "strength": Gate("*B T M K", "strength"),
            "decay": Gate("*B T K", "log_decay", optional=True),
        },
        key="writes",
        unit_query=True,
        short_convolution=True,
        two_sided="mean",
    ),
    _member(
        delta.rwkv7,
        "Peng et al., 2025",
        gates={
            "decay": _CHANNEL_DECAY,
            "removal": Gate("*B T K H", "unit"),
            "learning_rate": Gate("*B T K H", "strength"),
        },
        two_sided="mean",
    ),
    _member(
        kernels.performer,
        "Choromanski et al., 2020",
        "*B K F V+1",
        gates={"projection": Gate("F H", "random")},
        two_sided="quotient",
    ),
    _member(kernels.cosformer, "Qin et al., 2022", "*B K 2·H V+1", two_sided="quotient"),
    _member(taylor.based, "Arora et al., 2024", "*B K 1+H+H·(H+1)/2 V+1", two_sided="quotient"),
    _member(
        taylor.rebased,
        "Aksenov et al., 2024",
        "*B K H·(H+1)/2 V+1",
        gates={"query_gain": _GAIN, "query_shift": _SHIFT, "key_gain": _GAIN, "key_shift": _SHIFT},
        two_sided="quotient",
    ),
    _member(
        log_linear.log_linear,
        "Guo et al., 2025",
        MappingProxyType({"levels": "*B K L H V", "seen": "*B"}),
        gates={"decay": _HEAD_DECAY, "levels": Gate("*B T K L", "positive")},
        short_convolution=True,
    ),
    _member(
        mesa.mesa,
        "von Oswald et al., 2025",
        MappingProxyType({"covariance": "*B K H H", "memory": "*B K H V"}),
        gates={"decay": _HEAD_DECAY, "strength": _STRENGTH, "ridge": Gate("K H", "positive")},
        key="unit",
        unit_query=True,
        short_convolution=True,
    ),
    _member(
        gated_slot.gated_slot,
        "Zhang et al., 2024",
        MappingProxyType({"keys": "*B K H M", "values": "*B K M V"}),
        gates={"decay": Gate("*B T K M", "log_decay")},
    ),
)
