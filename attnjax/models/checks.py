"""Checks of the settings of blocks (`BlockConfig`) that depend on each other, each with one clear line."""

from dataclasses import fields
from typing import Any

from attnjax.config import InputError, require
from attnjax.mechanisms import Layer, read
from attnjax.mechanisms.base import NO_POOL, SENTENCES


def require_heads_fit(config: Any) -> None:
    """Raises InputError where heads have no fitting size or number."""
    require(
        config.head_dim is not None or config.dim % config.heads == 0,
        f"model.heads is {config.heads}: it must divide model.dim ({config.dim})",
    )
    require(
        config.kv_heads is None or config.heads % config.kv_heads == 0,
        f"model.kv_heads is {config.kv_heads}: it must divide model.heads ({config.heads})",
    )
    size = "model.dim / model.heads" if config.head_dim is None else "model.head_dim"
    groups = config.qk_norm_groups
    require(
        groups is None or (config.qk_norm and config.norm != "rms_offset"),
        f"model.qk_norm_groups is {groups}: it needs qk_norm, and a norm that is not rms_offset",
    )
    heads = (config.heads, config.heads if config.kv_heads is None else config.kv_heads)
    require(
        groups is None or (groups >= 1 and all(count % groups == 0 for count in heads)),
        f"model.qk_norm_groups is {groups}: it must divide model.heads and model.kv_heads {heads}",
    )
    require(
        not config.positions.startswith("rope") or config.head_size % 2 == 0,
        f"model.positions is {config.positions!r}: it needs an even head size, "
        f"but {size} is {config.head_size}",
    )
    require(
        not config.positions.startswith("sinusoidal") or config.dim % 2 == 0,
        f"model.positions is {config.positions!r}: it needs an even model.dim, got {config.dim}",
    )


def require_rope_fits(config: Any) -> None:
    """Raises InputError where settings of rope say nothing, or cannot be."""
    rotates = config.positions.startswith("rope")
    for field in fields(config):
        value = getattr(config, field.name)
        require(
            rotates or not field.name.startswith("rope_") or value == field.default,
            f"model.{field.name} is {value!r}: model.positions is {config.positions!r}, expected rope",
        )
    require(config.rope_base > 0, f"model.rope_base is {config.rope_base!r}: it must be above 0")
    rotated = round(config.head_size * config.rope_fraction)
    require(
        not rotates or (0 < config.rope_fraction <= 1 and rotated >= 2 and rotated % 2 == 0),
        f"model.rope_fraction is {config.rope_fraction!r}: it must be in (0, 1] and rotate an even "
        f"number of entries, not {rotated} of {config.head_size}",
    )
    require(
        (config.rope_factor > 1) if config.rope_scaling else config.rope_factor == 1,
        f"model.rope_factor is {config.rope_factor!r}: it must be above 1 with model.rope_scaling, and 1 "
        "without",
    )
    require(
        config.rope_truncate or config.rope_scaling == "yarn",
        f"model.rope_truncate is False: model.rope_scaling is {config.rope_scaling!r}, expected yarn",
    )
    require(
        config.rope_amplitude is None or (config.rope_scaling == "yarn" and config.rope_amplitude > 0),
        f"model.rope_amplitude is {config.rope_amplitude!r}: it must be above 0, with rope_scaling yarn",
    )
    if config.rope_original_length is not None:
        require_positive("rope_original_length", config.rope_original_length)
        require(
            config.rope_scaling in ("yarn", "llama3"),
            f"model.rope_original_length is {config.rope_original_length}: model.rope_scaling is "
            f"{config.rope_scaling!r}, expected yarn or llama3",
        )
    fast = config.rope_fast_turns
    require(
        (config.rope_slow_turns == 1 and fast is None) or config.rope_scaling in ("yarn", "llama3"),
        f"model.rope_slow_turns is {config.rope_slow_turns!r}, model.rope_fast_turns {fast!r}: "
        f"model.rope_scaling is {config.rope_scaling!r}, expected yarn or llama3",
    )
    require(
        0 < config.rope_slow_turns < (4 if fast is None else fast),
        f"model.rope_slow_turns is {config.rope_slow_turns!r}: expected above 0 and below rope_fast_turns",
    )


def require_mechanism_fits(config: Any) -> None:
    """Raises InputError where a mechanism lacks what other settings ask of it."""
    choices = read(config.mechanism, "model.mechanism")
    for part in (part for choice in choices for part in choice.parts):
        for name, given in part.options.items():
            require(
                not part.row.options[name].holds or given >= config.max_length,
                f"model.mechanism is {config.mechanism!r}: {part.row.name}: {name} is {given}: expected no "
                f"less than model.max_length ({config.max_length})",
            )
    rows = [choice.row for choice in choices]
    require(
        config.positions not in ("alibi", "t5") or any(row.has_weights for row in rows),
        f"model.positions is {config.positions!r}: it acts on scores, and {config.mechanism} has none",
    )
    for row in rows:
        require(
            config.attention_scale is None
            or row.kind in ("softmax", "recipe")
            or (isinstance(row, Layer) and row.scaled),
            f"model.attention_scale is {config.attention_scale!r}: {row.name} has no such factor",
        )
        row.require_takes(config.takes, f"model.mechanism is {config.mechanism!r}")
        require(
            not row.keys_are_gates or not config.positions.startswith("rope"),
            f"model.positions is {config.positions!r}: it rotates keys, and those of {row.name} are gates; "
            "choose sinusoidal, learned or none",
        )
        require(
            not row.keys_are_gates or not config.qk_norm,
            f"model.qk_norm is True: the keys of {row.name} are gates",
        )


PLAIN_POOLING = ("first", "last", "class", "mean", "both", "sum")
"""Pooling without a mechanism, of any model."""


def require_pooling(config: Any, places: tuple[str, ...]) -> None:
    """Raises InputError where pooling is none of these places, and no mechanism that pools tokens."""
    if config.pooling in places:
        return
    try:
        choices = read(config.pooling, "model.pooling")
    except InputError as error:
        raise InputError(f"{error}; or one of {', '.join(places)}") from None
    label = f"model.pooling is {config.pooling!r}"
    require(len(choices) == 1, f"{label}: it is of {len(choices)} layers, expected one")
    (choice,) = choices
    row, options = choice.row, choice.options
    row.require_takes(("pool", "context"), label)
    of_text = row.name == SENTENCES and getattr(config, "has_sentences", False)
    require(of_text or row.name not in NO_POOL, f"{label}: {row.name} {NO_POOL.get(row.name)}")
    require(
        row.name != "slot_attention" or options.get("learned", False),
        f"{label}: its slots start at random, and a model has no such draw; expected learned=True",
    )
    for name in ("context_dim", "values_dim"):
        require(
            options.get(name) in (None, config.dim),
            f"{label}: {name} is {options.get(name)}, expected model.dim ({config.dim})",
        )


def require_positive(name: str, value: object) -> None:
    """Raises InputError for what is no whole number above 0."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    require(whole and value >= 1, f"model.{name} is {value!r}: it must be a whole number, 1 or more")  # type: ignore[operator]


def require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raises InputError for what is not among the choices."""
    require(value in choices, f"model.{name} is {value!r}: it must be one of {', '.join(choices)}")
