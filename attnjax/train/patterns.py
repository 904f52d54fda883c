"""Parameters by their names: patterns such as `encoder.*` or `*.bias`, and their places in a model."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import jax

from attnjax.config import InputError
from attnjax.nn.layer_names import names_of_layers


def name_of(path: tuple[Any, ...]) -> str:
    """Returns the name of a parameter: its path in the tree, joined by dots."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


def first_match(name: str, patterns: Sequence[str]) -> int | None:
    """Returns the place of the first pattern that a name matches, `*` standing for any text.

    Raises:
      InputError: The parameter holds several layers, of which some match and some do not.

    Example:
      >>> first_match("encoder.0.norm.scale", ["decoder.*", "*.scale"])
      1
    """
    found = matches_of_layers(name, patterns)
    matching = [place for place in found if place is not None]
    if matching and len(matching) < len(found):
        raise InputError(
            f"patterns {', '.join(patterns)}: they tell apart the layers of {name}, which "
            "model.scan_layers keeps in one array; expected all of them or none, or no scan_layers"
        )
    return min(matching, default=None)


def matches_of_layers(name: str, patterns: Sequence[str]) -> list[int | None]:
    """Returns the place of the first match for each layer that a parameter holds, or for it alone.

    Example:
      >>> matches_of_layers("blocks.0:3.norm.scale", ["blocks.1.*", "blocks.2.norm.*"])
      [None, 0, 1]
    """

    def first(own: str) -> int | None:
        matching = (i for i, pattern in enumerate(patterns) if fnmatchcase(own, pattern))
        return next(matching, None)

    whole = first(name)
    return [first(own) if whole is None else whole for own in names_of_layers(name)]


def input_axes(name: str, axes: int) -> int:
    """Returns how many axes of a kernel are inputs: all but the last of `out`, which joins heads, else one.

    Example:
      >>> input_axes("blocks.0.attention.out.kernel", 3), input_axes("blocks.0.attention.query.kernel", 3)
      (2, 1)
    """
    return axes - 1 if name.split(".")[-2:-1] == ["out"] else 1


def depth_of(name: str, layers: int) -> int:
    """Returns how deep a parameter lies: 0 in an embedding, i + 1 in block i, layers + 1 above the blocks.

    Args:
      name: of the parameter.
      layers: blocks of the deepest stack.

    Example:
      >>> [depth_of(name, 6) for name in ("embedding.tokens", "blocks.5.attention.out.kernel", "norm.scale")]
      [0, 6, 7]
    """
    block = _BLOCK.match(name)
    if block:
        return int(block[1]) + 1
    return 0 if "embedding" in name.partition(".")[0] else layers + 1


def layers_of(params: Any) -> int:
    """Returns the number of blocks of the deepest stack; 0 without any."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    names = [own for path, _ in leaves for own in names_of_layers(name_of(path))]
    return max((int(block[1]) + 1 for block in map(_BLOCK.match, names) if block), default=0)


_BLOCK = re.compile(r"(?:blocks|encoder|decoder)\.(\d+)\.")
"""The name of a parameter in a block of a model."""
