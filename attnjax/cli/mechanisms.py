"""`attnjax list mechanisms` and `attnjax show MECHANISM`. Free of jax, but for drawing masks."""

import math
import os
import sys
from dataclasses import replace
from types import MappingProxyType

from attnjax.mechanisms import Choice, Recipe
from attnjax.mechanisms.describe import description
from attnjax.mechanisms.pattern import Part

DRAWN_TOKENS = 16


def describe(choices: tuple[Choice, ...]) -> str:
    """Returns what is declared of each mechanism of a pattern, and the masks of its layers, drawn."""
    rows = {part.row.name: part.row for choice in choices for part in choice.parts}
    layers = {str(choice): choice for choice in choices}
    drawings = [_drawing(choice) for choice in layers.values() if any(map(_is_mask, choice.parts))]
    return "\n\n".join([*map(description, rows.values()), *drawings])


def _is_mask(part: Part) -> bool:
    return isinstance(part.row, Recipe) and part.row.role == "mask"


def _drawing(choice: Choice) -> str:
    """The mask of a layer, causal and, where it can, both ways."""
    if "jax" not in sys.modules:  # A picture needs no accelerator, which a running training may hold.
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
    from attnjax.nn.attention.composed import composed_mask

    small = Choice(tuple(map(_small, choice.parts)))
    shapes = [part.options["shape"] for part in small.parts if "shape" in part.options]
    length = math.prod(shapes[0]) if shapes else DRAWN_TOKENS
    titles = {"causal": True, "both ways": False}
    if any(part.row.causal_only for part in small.parts):
        del titles["both ways"]
    masks = [composed_mask(small, length, causal=causal) for causal in titles.values()]
    drawn = [
        [title, *mask.draw(length).splitlines()] for title, mask in zip(titles, masks, strict=True) if mask
    ]
    width = max(map(len, drawn[0]))
    lines = ["    ".join(f"{cell:<{width}}" for cell in row).rstrip() for row in zip(*drawn, strict=True)]
    shown = Choice(tuple(filter(_is_mask, small.parts)))
    return "\n".join([f"{shown}, for {length} tokens:", "", *lines])


def _small(part: Part) -> Part:
    """The part with options of a small drawing, where the text gives none."""
    drawn = part.row.drawn if isinstance(part.row, Recipe) else {}
    return replace(part, options=MappingProxyType({**drawn, **part.options}))
