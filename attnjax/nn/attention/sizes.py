"""Axes of the projections and gates of a mechanism, as it declares them, with sizes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from attnjax.mechanisms import Mechanism, Recurrence, find
from attnjax.ops.core.checks import count

Axes = dict[str, int]
"""Lengths of a parameter's axes by their logical names."""

_SIZES = {"writes": "M", "slots": "M", "levels": "L", "features": "F"}
"""The letters of the axes whose lengths are options, by the names of these."""


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
    """Returns the layout of "softmax" or a member of the linear family.

    Args:
      mechanism: its name.
      options: of the mechanism.
      heads: N; where the values have more heads than queries and keys (Mamba-2), those of the values.
      kv_heads: K; in Mamba-2 the number of groups.
      head_dim: H.
      value_dim: V.

    Raises:
      ValueError: There is no such mechanism, or it takes no such option.
      TypeError: A size is no int.

    Example:
      >>> sizes = {"heads": 4, "kv_heads": 2, "head_dim": 3, "value_dim": 5}
      >>> make_layout("delta_product", {"writes": 3}, **sizes).gates
      {'strength': {'writes': 3, 'kv_heads': 2}, 'decay': {'kv_heads': 2}}
    """
    declared = find(mechanism)
    unknown = [name for name in options if name not in declared.options]
    if unknown:
        expected = ", ".join(declared.options) or "none"
        raise ValueError(f"options {', '.join(unknown)}: {mechanism} takes {expected}")
    projected = _projected(declared)
    gates = declared.gates if isinstance(declared, Recurrence) else {}
    shapes = {name: gate.axes.removeprefix("*B T ") for name, gate in gates.items()}
    given = {name: option.default for name, option in declared.options.items() if option.default is not None}
    given |= options

    lengths = {"N": ("heads", heads), "K": ("kv_heads", kv_heads)}
    if isinstance(declared, Recurrence) and declared.many_values:
        lengths = {"K": ("heads", heads), "G": ("kv_heads", kv_heads)}
    lengths |= {"H": ("head_dim", head_dim), "V": ("head_dim", value_dim)}
    of_head = {"slots": head_dim, "features": 2 * head_dim}
    for name in _SIZES.keys() & declared.options.keys():
        size = given.pop(name, None)
        size = of_head.get(name) if size is None else size
        lengths[_SIZES[name]] = (name, count(f"options[{name!r}]", size))

    def axes(shapes: dict[str, str]) -> dict[str, Axes]:
        return {name: dict(lengths[letter] for letter in shape.split()) for name, shape in shapes.items()}

    return Layout(axes(projected), axes(shapes), given)


def _projected(declared: Mechanism) -> dict[str, str]:
    if isinstance(declared, Recurrence) and declared.many_values:
        return {"query": "G H", "key": "G H", "value": "K V"}
    if isinstance(declared, Recurrence) and declared.key == "writes":
        return {"query": "N H", "key": "M K H", "value": "M K V"}
    return {"query": "N H", "key": "K H", "value": "K V"}


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
    """Raises ValueError for settings that act on keys, where these are gates; None was not asked for."""
    for name, given in of_keys.items():
        if given is not None and find(mechanism).keys_are_gates:
            raise ValueError(f"{name} {given!r}: expected none, the keys of {mechanism} are what it forgets")
