"""What decoder-only families share: windows of layers, rotary positions."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from attnjax.config import InputError
from attnjax.mechanisms import over_layers, read
from attnjax.models.config import LanguageModelConfig
from attnjax.pretrained.keys import Keys

_TURNS = {"llama3": ("low_freq_factor", "high_freq_factor", 4.0), "yarn": ("beta_slow", "beta_fast", 32.0)}
"""The keys of our rope_slow_turns and rope_fast_turns, and the default of the latter, by rope_scaling."""


def read_kinds(keys: Keys, default: Sequence[str]) -> Sequence[str]:
    """Returns the kind of each layer.

    Args:
      keys: of a config.json.
      default: the kinds where it does not say.

    Raises:
      InputError: They are not as many as the layers.
    """
    kinds = keys.optional("layer_types", list)
    if kinds is not None and len(kinds) != len(default):
        raise InputError(
            f"{keys.label} has {len(kinds)} layer_types: expected {len(default)}, one of each layer"
        )
    return default if kinds is None else kinds


def mechanisms(kinds: Sequence[str], window: int | None, recipes: str = "") -> str:
    """Returns the pattern of mechanisms of layers that see all or a window.

    Args:
      kinds: "sliding_attention" or "full_attention" of each layer.
      window: the tokens that the former see.
      recipes: what all layers have besides, joined by &.

    Example:
      >>> mechanisms(["sliding_attention", "full_attention"] * 3, 8, "softcap(c=50.0)")
      'window(size=8) & softcap(c=50.0) + softcap(c=50.0)'
    """
    texts = []
    for kind in kinds:
        if kind not in ("sliding_attention", "full_attention"):
            raise InputError(f"layer_types has {kind!r}: expected 'sliding_attention' or 'full_attention'")
        parts = [f"window(size={window})"] * (kind == "sliding_attention" and window is not None)
        texts.append(" & ".join([*parts, *[recipes] * bool(recipes)]) or "softmax")
    period = next(n for n in range(1, len(texts) + 1) if all(x == texts[i % n] for i, x in enumerate(texts)))
    return " + ".join(texts[:period])


def write_windows(config: LanguageModelConfig) -> dict[str, Any]:
    """Returns the kinds of layers, and the window of those that have one."""
    choices = over_layers(read(config.mechanism), config.layers)
    windows = [
        part.options["size"] for choice in choices for part in choice.parts if part.row.name == "window"
    ]
    kinds = [
        "sliding_attention" if any(part.row.name == "window" for part in choice.parts) else "full_attention"
        for choice in choices
    ]
    return {"layer_types": kinds, "sliding_window": windows[0] if windows else None}


def read_late_windows(keys: Keys) -> str:
    """Returns the mechanisms of Qwen's layers, of which the last may have a window."""
    layers, size = keys.take("num_hidden_layers"), keys.nullable("sliding_window", 4096, int)
    window = size if keys.take("use_sliding_window", False) else None
    first = keys.take("max_window_layers", 28, least=0)
    late = ["full_attention" if i < first else "sliding_attention" for i in range(layers)]
    return mechanisms(read_kinds(keys, late), window)


def write_late_windows(config: LanguageModelConfig) -> dict[str, Any]:
    """Returns what `read_late_windows` reads as the mechanisms of a config."""
    written = write_windows(config)
    return written | {"use_sliding_window": written["sliding_window"] is not None}


def read_rope(
    keys: Keys, *, base: float = 10_000.0, fraction: float = 1.0, given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Returns the settings of rotary positions, as older and newer config.json have them.

    Args:
      keys: of the config.json.
      base: where it does not say.
      fraction: of each head that is rotated, where it does not say.
      given: what stands for its rope_parameters.
    """
    newer = keys.optional("rope_parameters", dict) if given is None else given
    older = keys.optional("rope_scaling", dict) or {}
    outer = {
        "rope_theta": keys.optional("rope_theta", float),
        "partial_rotary_factor": keys.optional("partial_rotary_factor", float),
    }
    found = {name: value for name, value in outer.items() if value is not None} | dict(newer or older)
    rope = Keys(found, f"{keys.label}: rope_parameters")
    kind = rope.optional("rope_type", str) or rope.optional("type", str) or "default"
    rope.ignore("type")
    settings: dict[str, Any] = {
        "rope_base": float(rope.take("rope_theta", base, kind=float)),
        "rope_fraction": float(rope.take("partial_rotary_factor", fraction, kind=float)),
    }
    if kind == "linear":
        settings |= {"rope_scaling": "linear", "rope_factor": float(rope.take("factor", kind=float, least=1))}
    elif kind in _TURNS:
        slow, fast, turns = _TURNS[kind]
        settings |= {
            "rope_scaling": kind,
            "rope_factor": float(rope.take("factor", kind=float, least=1)),
            "rope_original_length": rope.optional("original_max_position_embeddings", int),
            "rope_slow_turns": float(rope.take(slow, 1.0, kind=float)),
            "rope_fast_turns": float(rope.take(fast, turns, kind=float)),
        }
        if kind == "yarn":
            settings["rope_truncate"] = rope.take("truncate", True)
            settings["rope_amplitude"] = _amplitude(rope, settings["rope_factor"])
    else:
        rope.only("rope_type", "default")
    rope.finish()
    return settings


def _amplitude(rope: Keys, factor: float) -> float | None:
    """Returns the factor of what yarn rotates, where a config says another than the usual one."""
    given = rope.optional("attention_factor", float)
    one, all_entries = (rope.optional(name, float) for name in ("mscale", "mscale_all_dim"))
    if given is None and one and all_entries:
        return yarn_growth(factor, one) / yarn_growth(factor, all_entries)
    return None if given is None else float(given)


def yarn_growth(factor: float, share: float) -> float:
    """Returns what DeepSeek calls mscale: 1, and more for longer texts.

    Example:
      >>> round(yarn_growth(40.0, 1.0), 4)
      1.3689
    """
    return 0.1 * share * math.log(factor) + 1


def write_rope(config: LanguageModelConfig) -> dict[str, Any]:
    """Returns what `read_rope` reads as the settings of a config."""
    rope: dict[str, Any] = {"rope_type": config.rope_scaling or "default", "rope_theta": config.rope_base}
    if config.rope_fraction != 1:
        rope["partial_rotary_factor"] = config.rope_fraction
    if config.rope_scaling is not None:
        rope["factor"] = config.rope_factor
    if config.rope_scaling in _TURNS:
        slow, fast, turns = _TURNS[config.rope_scaling]
        rope["original_max_position_embeddings"] = config.rope_original_length or config.max_length
        rope |= {slow: config.rope_slow_turns, fast: config.rope_fast_turns or turns}
    if not config.rope_truncate:
        rope["truncate"] = False
    if config.rope_amplitude is not None:
        rope["attention_factor"] = config.rope_amplitude
    return {"rope_parameters": rope}
