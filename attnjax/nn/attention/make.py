"""The attention layer of a mechanism: softmax, a recurrence, recipes, or a layer of one's own."""

from typing import Any

from attnjax.mechanisms import Choice, Layer
from attnjax.nn.attention.base import Attention
from attnjax.nn.attention.calling import taken


def make_attention(choice: Choice, dim: int, heads: int, **settings: Any) -> Any:
    """Returns the layer of a mechanism as `attnjax.mechanisms.read` gives it.

    Args:
      choice: the mechanism with its options, or recipes.
      dim: D.
      heads: N.
      settings: those of `Attention`. A layer of one's own gets those that its constructor takes.

    Raises:
      ValueError: As in `Attention`.

    Example:
      >>> from flax import nnx
      >>> from attnjax.mechanisms import read
      >>> layer = make_attention(read("window(size=4) & entmax")[0], 8, 2, rngs=nnx.Rngs(0))
      >>> type(layer).__name__, layer.mechanism
      ('ComposedAttention', 'window(size=4) & entmax(alpha=1.5)')
    """
    if isinstance(choice.row, Layer):
        made = choice.row.function
        return made(dim, heads, **taken(made, settings), **choice.options)
    if choice.recipes:
        return Attention(dim, heads, mechanism=str(choice), **settings)
    return Attention(dim, heads, mechanism=choice.row.name, options=choice.options, **settings)
