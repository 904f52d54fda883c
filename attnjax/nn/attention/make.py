"""The attention layer of a mechanism: softmax, a recurrence, recipes, or a layer of one's own."""

from typing import Any

from attnjax.config import require
from attnjax.mechanisms import Choice, Layer, read
from attnjax.nn.attention.base import Attention
from attnjax.nn.attention.calling import taken


def make_attention(choice: Choice | str, dim: int, heads: int, **settings: Any) -> Any:
    """Returns the layer of a mechanism.

    Args:
      choice: the mechanism with its options, or recipes: as text, or as `attnjax.mechanisms.read` gives it.
      dim: D.
      heads: N.
      settings: those of `Attention`. A layer of one's own gets those that its constructor takes.

    Raises:
      InputError: The text is no mechanism, or a pattern of several layers.
      ValueError: As in `Attention`.

    Example:
      >>> from flax import nnx
      >>> layer = make_attention("window(size=4) & entmax", 8, 2, rngs=nnx.Rngs(0))
      >>> type(layer).__name__, layer.mechanism
      ('ComposedAttention', 'window(size=4) & entmax(alpha=1.5)')
    """
    if isinstance(choice, str):
        choices = read(choice)
        require(len(choices) == 1, f"mechanism is {choice!r}: expected that of one layer")
        (choice,) = choices
    if isinstance(choice.row, Layer):
        made = choice.row.function
        return made(dim, heads, **taken(made, settings), **choice.options)
    if choice.recipes:
        return Attention(dim, heads, mechanism=str(choice), **settings)
    return Attention(dim, heads, mechanism=choice.row.name, options=choice.options, **settings)
