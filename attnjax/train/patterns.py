"""Parameters chosen by patterns of their names, such as `encoder.*` or `*.bias`."""

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import jax

from attnjax.config import InputError
from attnjax.train.config import TrainConfig

PATTERN_FIELDS = ("frozen", "undecayed", "rate_patterns")
"""The fields of `TrainConfig` that choose parameters."""


def name_of(path: tuple[Any, ...]) -> str:
    """Returns the name of a parameter: its path in the tree, joined by dots."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


def first_match(name: str, patterns: Sequence[str]) -> int | None:
    """Returns the place of the first pattern that a name matches, `*` standing for any text.

    Example:
      >>> first_match("encoder.0.norm.scale", ["decoder.*", "*.scale"])
      1
    """
    return next((i for i, pattern in enumerate(patterns) if fnmatchcase(name, pattern)), None)


def matches(params: Any, patterns: Sequence[str]) -> Any:
    """Returns a tree like params: True for each parameter that some pattern chooses."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: first_match(name_of(path), patterns) is not None, params
    )


def require_matches(config: TrainConfig, params: Any) -> None:
    """Refuses patterns that choose no parameter, or freeze all of them.

    Args:
      config: the settings that hold the patterns.
      params: the parameters, or their shapes.

    Raises:
      InputError: Such a pattern, with the nearest name of a parameter.
    """
    names = [name_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    for field in PATTERN_FIELDS:
        for pattern in getattr(config, field):
            if not any(fnmatchcase(name, pattern) for name in names):
                near = get_close_matches(pattern, names, n=1, cutoff=0.0)
                raise InputError(
                    f"train.{field} has {pattern!r}: no parameter has such a name; one is {near[0]!r}"
                )
    if names and all(first_match(name, config.frozen) is not None for name in names):
        raise InputError(f"train.frozen is {', '.join(config.frozen)}: nothing is left to train")
