"""Which axes the projections and gates of a mechanism have: what `catalogue.MEMBERS` declares, with sizes."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from attnjax.ops.core.checks import count
from attnjax.ops.linear.members.catalogue import MEMBERS, Member

Axes = dict[str, int]
"""Lengths of a parameter's axes by their logical names."""

_WRITES, _LEVELS = 2, 12
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {"cosformer": {"horizon": 4096}}


@dataclass(frozen=True)
class Layout:
    """The axes of query, key, value and each gate after those of the tokens, and the other arguments."""

    projected: dict[str, Axes]
    gates: dict[str, Axes]
    arguments: dict[str, Any]


def make_layout(
    mechanism: str,
    options: Mapping[str, Any],
    *,
    heads: int,
    kv_heads: int,
    head_dim: int,
    value_dim: int,
) -> Layout:
    """The layout of "softmax" or a member, whose sizes are N, K, H and V.

    Where the values have more heads than queries and keys (Mamba-2), N is theirs and K the number of groups.

    Raises:
      ValueError: there is no such mechanism, or it takes no such option; TypeError: a size is no int.

    >>> sizes = {"heads": 4, "kv_heads": 2, "head_dim": 3, "value_dim": 5}
    >>> make_layout("delta_product", {"writes": 3}, **sizes).gates
    {'strength': {'writes': 3, 'kv_heads': 2}, 'decay': {'kv_heads': 2}}
    """
    if mechanism != "softmax" and mechanism not in MEMBERS:
        raise ValueError(f"mechanism {mechanism!r}: expected softmax or one of {', '.join(MEMBERS)}")
    member = MEMBERS.get(mechanism)
    projected = _projected(member)
    gates = {} if member is None else {n: g.axes.removeprefix("*B T ") for n, g in member.gates.items()}
    used = {letter for shape in (*projected.values(), *gates.values()) for letter in shape.split()}
    slots = ("writes", _WRITES) if "M" in projected["key"] else ("slots", head_dim)
    own = {"M": slots, "L": ("levels", _LEVELS), "F": ("features", 2 * head_dim)}
    own = {letter: size for letter, size in own.items() if letter in used}
    _check(mechanism, member, options, [name for name, _ in own.values()])

    given = dict(_DEFAULTS.get(mechanism, {})) | dict(options)
    lengths = {"N": ("heads", heads), "K": ("kv_heads", kv_heads)}
    if "G" in used:
        lengths = {"K": ("heads", heads), "G": ("kv_heads", kv_heads)}
    lengths |= {"H": ("head_dim", head_dim), "V": ("head_dim", value_dim)}
    for letter, (name, size) in own.items():
        lengths[letter] = (name, count(f"options[{name!r}]", given.pop(name, size)))

    def axes(shapes: dict[str, str]) -> dict[str, Axes]:
        return {name: dict(lengths[letter] for letter in shape.split()) for name, shape in shapes.items()}

    return Layout(axes(projected), axes(gates), given)


def _projected(member: Member | None) -> dict[str, str]:
    if member is not None and member.many_values:
        return {"query": "G H", "key": "G H", "value": "K V"}
    if member is not None and member.key == "writes":
        return {"query": "N H", "key": "M K H", "value": "M K V"}
    return {"query": "N H", "key": "K H", "value": "K V"}


def _check(mechanism: str, member: Member | None, options: Mapping[str, Any], sizes: list[str]) -> None:
    taken = list(sizes)
    if member is not None:
        parameters = inspect.signature(member.function).parameters.values()
        taken += [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in member.gates]
    taken = [name for name in taken if name != "two_sided"]
    unknown = [name for name in options if name not in taken]
    if unknown:
        expected = ", ".join(taken) or "none"
        raise ValueError(f"options {', '.join(unknown)}: {mechanism} takes {expected}")


def with_key_heads(layout: Layout, key_heads: int, *, heads: int, kv_heads: int | None) -> Layout:
    """Returns the layout with fewer heads of queries and keys than of values.

    Raises:
      ValueError: They do not divide the heads, or kv_heads says something else.
    """
    if kv_heads not in (None, heads):
        raise ValueError(f"key_heads {key_heads} with kv_heads {kv_heads}: expected one of the two")
    if key_heads < 1 or heads % key_heads:
        raise ValueError(f"key_heads {key_heads}: expected a divisor of heads ({heads})")

    def fewer(axes: Axes) -> Axes:
        return {name: key_heads if name in ("heads", "kv_heads") else size for name, size in axes.items()}

    projected = {name: axes if name == "value" else fewer(axes) for name, axes in layout.projected.items()}
    return replace(layout, projected=projected)


def require_sizes(dim: int, heads: int, *, kv_heads: int | None, **head_sizes: int | None) -> None:
    """Raises ValueError for sizes below 1, or that do not divide."""
    sizes = {"dim": dim, "heads": heads, "kv_heads": kv_heads} | head_sizes
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise ValueError(f"{name} {size}: expected 1 or more")
    if kv_heads is not None and heads % kv_heads:
        raise ValueError(f"kv_heads {kv_heads}: expected a divisor of heads ({heads})")
    if head_sizes["head_dim"] is None and dim % heads:
        raise ValueError(f"heads {heads}: expected a divisor of dim ({dim}), or a head_dim")


def require_goes_with(mechanism: str, **of_keys: Any) -> None:
    """Raises ValueError for what acts on keys, where they are gates; None is what was not asked for."""
    for name, given in of_keys.items():
        if given is not None and MEMBERS[mechanism].key == "log_forget":
            raise ValueError(f"{name} {given!r}: expected none, the keys of {mechanism} are what it forgets")
