"""The attention layer of a mechanism: softmax, a recurrence, recipes, or a layer of one's own."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from attnjax.config import require
from attnjax.mechanisms import Choice, Layer, read
from attnjax.nn.attention.base import Attention
from attnjax.nn.attention.calling import taken

_NOT_ASKED: dict[str, Any] = {"bias": True, "qk_norm": False}
"""The values of settings that ask for nothing; of others it is None."""
_POSITIONS = "; of a model's positions choose sinusoidal, learned or none"


def make_attention(choice: Choice | str, dim: int, heads: int, **settings: Any) -> Any:
    """Returns the layer of a mechanism.

    Args:
      choice: the mechanism with its options, or recipes: as text, or as `attnjax.mechanisms.read` gives it.
      dim: D.
      heads: N.
      settings: those of `Attention`. A layer of one's own gets those that its constructor takes.

    Raises:
      InputError: The text is no mechanism, or a pattern of several layers; a setting asks for what the
        constructor of a layer of one's own does not take.
      ValueError: As in `Attention`; an option or a setting does not fit the others.

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
        fitting = taken(made, settings)
        _require_taken(choice.row.name, settings, fitting)
        return made(dim, heads, **fitting, **choice.options)
    if choice.recipes:
        return Attention(dim, heads, mechanism=str(choice), **settings)
    return Attention(dim, heads, mechanism=choice.row.name, options=choice.options, **settings)


def _require_taken(name: str, settings: Mapping[str, Any], fitting: Mapping[str, Any]) -> None:
    """Raises InputError for a setting that asks for something and would get lost."""
    for setting, value in settings.items():
        if setting in fitting or setting in ("rngs", "implementation"):
            continue
        if setting in ("dtype", "param_dtype"):
            # A layer that computes in more digits than asked for does no harm.
            asked = value is not None and jnp.dtype(value).itemsize < 4
        else:
            asked = value != _NOT_ASKED.get(setting)
        hint = _POSITIONS if setting == "rope" else ""
        require(not asked, f"{setting} is {value!r}: {name} takes no {setting}{hint}")
