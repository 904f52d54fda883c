"""The scores of a softmax layer: what changes, masks and normalises them, of the layer and of a call."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.nn.attention.placing import as_mask
from attnjax.nn.attention.position_score import PositionScore
from attnjax.nn.axes import named
from attnjax.ops import masks, normalizers
from attnjax.ops.normalizers import Normalizer


def rules_of_call(
    layer: Any, mask: Any, score: Any, normalizer: Normalizer | None, offset: Any
) -> dict[str, Any]:
    """Returns the mask, score, normaliser and scale of a call, with those of its `SoftmaxAttention`."""
    own = layer.score(offset) if isinstance(layer.score, PositionScore) else layer.score
    parts = [part for part in (layer.softcap, own, score) if part is not None]
    if layer.window is not None:
        left, right = layer.window
        near = masks.sliding_window(left, right, offset)
        mask = near if mask is None else as_mask(mask) & near
    if normalizer is None:
        logits = _sink_logits(layer.sink, layer.heads)
        normalizer = layer.normalizer if logits is None else normalizers.softmax(logits)
    return {"mask": mask, "score": parts or None, "normalizer": normalizer, "scale": layer.scale}


def own_sink(
    sink: bool | float, normalizer: Normalizer | None, heads: int, param_dtype: DTypeLike
) -> nnx.Param[Array] | float | None:
    """Returns the sink of a layer: a learned logit of each head, a fixed one of all, or None.

    Raises:
      ValueError: A normaliser is given beside it.
    """
    if sink is False:
        return None
    if normalizer is not None:
        raise ValueError(f"sink {sink} with normalizer {normalizer!r}: expected one of the two")
    if sink is True:
        return nnx.Param(jnp.zeros((heads,), param_dtype), **named("heads"))
    return float(sink)


def reach(window: int | tuple[int, int]) -> tuple[int, int]:
    """Returns the distances that a token sees to the left and to the right.

    Raises:
      ValueError: it is no number of tokens, the token itself among them, nor two distances.
    """
    left, right = (window - 1, window - 1) if isinstance(window, int) else window
    if left < 0 or right < 0:
        raise ValueError(f"window {window!r}: expected 1 or more tokens, or (left, right) of 0 or more")
    return left, right


def require_numbers(name: str, given: Any) -> None:
    """Raises ValueError for a layer's score or normaliser with arrays: they would be no parameters."""
    if not isinstance(given, nnx.Module) and any(map(_is_array, jax.tree.leaves(given))):
        raise ValueError(f"{name} {given!r}: expected numbers in it, no arrays")


def _sink_logits(sink: Any, heads: int) -> Float[Array, " N"] | None:
    if sink is None or isinstance(sink, nnx.Variable):
        return None if sink is None else sink[...]
    return jnp.full((heads,), sink)


def _is_array(x: object) -> bool:
    return not isinstance(x, int | float)
