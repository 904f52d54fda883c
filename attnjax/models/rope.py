"""The rotation of queries and keys by their positions, as the config of a model describes it."""

from typing import Any

from attnjax.mechanisms import Choice
from attnjax.models.block_config import BlockConfig
from attnjax.nn import Rope
from attnjax.ops import positions

_ROPE: dict[str, Any] = {"rope": "halves", "rope_interleaved": "interleaved"}
_TURNS: dict[str, Any] = {
    "llama3": (positions.Llama3Scaling, "low_frequency_factor", "high_frequency_factor"),
    "yarn": (positions.YarnScaling, "beta_slow", "beta_fast"),
}
"""Scalings between slow and fast turns within the original length, and what they call these."""


def rope_of(config: BlockConfig, choice: Choice) -> Any:
    """Returns the rotation of queries and keys in a layer of a mechanism; None where the config has none.

    Example:
      >>> from attnjax.mechanisms import read
      >>> rope_of(BlockConfig(positions="rope"), read("softmax")[0])
      'halves'
    """
    if config.positions not in _ROPE:
        return None
    layout, base, scaling = _ROPE[config.positions], config.rope_base, _scaling(config)
    if config.rope_local_base is not None and any(part.row.name == "window" for part in choice.parts):
        base, scaling = config.rope_local_base, None
    rope = Rope(layout, base, config.rope_fraction, scaling)
    return layout if rope == Rope(layout) else rope  # Alone it says the same, and reads well in an error.


def _scaling(config: BlockConfig) -> positions.RopeScaling | None:
    if config.rope_scaling is None:
        return None
    if config.rope_scaling == "linear":
        return positions.LinearScaling(config.rope_factor)
    scaling, slow, fast = _TURNS[config.rope_scaling]
    turns: dict[str, Any] = {slow: config.rope_slow_turns, fast: config.rope_fast_turns}
    if config.rope_scaling == "yarn":
        turns |= {"truncate": config.rope_truncate, "attention_factor": config.rope_amplitude}
    return scaling(config.rope_factor, original_length=config.rope_original_length, **turns)
