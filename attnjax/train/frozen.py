"""The parameters that a training leaves as they are, and patterns that choose none."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import jax

from attnjax.config import InputError
from attnjax.nn.layer_names import axes_in_layer, names_of_layers
from attnjax.train.adapters import Adapted, adapted, has_adapter, is_adapted
from attnjax.train.config import TrainConfig
from attnjax.train.patterns import first_match, name_of

PATTERN_FIELDS = ("frozen", "undecayed", "rate_patterns")
"""The fields of `TrainConfig` that choose parameters."""


def frozen(params: Any, config: TrainConfig) -> Any:
    """Returns a tree like params: True for each parameter that stays as it is.

    Those are the ones that `config.frozen` names, and beside adapters all that `config.adapter.trained` does
    not name.
    """
    adapter = config.adapter

    def stays(path: tuple[Any, ...], leaf: Any) -> Any:
        if isinstance(leaf, Adapted):
            flags: Any = {"base": True, "down": False, "up": False}
            flags["magnitude"] = None if leaf.magnitude is None else False
            return replace(leaf, **flags)
        name = name_of(path)
        beside = adapter.kind != "none" and first_match(name, adapter.trained) is None
        return beside or first_match(name, config.frozen) is not None

    return jax.tree_util.tree_map_with_path(stays, params, is_leaf=is_adapted)


def require_matches(config: TrainConfig, params: Any) -> None:
    """Refuses patterns that choose no parameter, or freeze all of them.

    Args:
      config: the settings that hold the patterns.
      params: the parameters, or their shapes, without adapters.

    Raises:
      InputError: Such a pattern, with the nearest name of a parameter.
    """
    leaves = {name_of(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    names = [own for name in leaves for own in (*names_of_layers(name), name)]
    for field in PATTERN_FIELDS:
        _require(f"train.{field}", getattr(config, field), names)
    adapter = config.adapter
    if adapter.kind != "none":
        axes = {name: axes_in_layer(name, leaf.ndim) for name, leaf in leaves.items()}
        matrices = [own for name in leaves if axes[name] >= 2 for own in (*names_of_layers(name), name)]
        _require("train.adapter.patterns", adapter.patterns, matrices, "matrix")
        _require("train.adapter.trained", adapter.trained, names)
        for name in [name for name, leaf in leaves.items() if has_adapter(name, leaf, adapter)]:
            if ".feed_forward." in name and axes[name] > 2:
                raise InputError(f"train.adapter.patterns choose {name}, which is a stack of experts")
    for name in leaves:
        for patterns in (config.frozen, config.undecayed):
            first_match(name, patterns)  # Before work is done: it may tell apart what one array holds.
    shapes = jax.eval_shape(lambda key: adapted(_zeros(params), adapter, key), jax.random.key(0))
    if leaves and all(jax.tree.leaves(frozen(shapes, config))):
        raise InputError(f"train.frozen is {', '.join(config.frozen)}: nothing is left to train")


def _require(field: str, patterns: Sequence[str], names: list[str], what: str = "parameter") -> None:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            near = get_close_matches(pattern, names, n=1, cutoff=0.0)
            one = f"; one is {near[0]!r}" if near else ""
            raise InputError(f"{field} has {pattern!r}: no {what} has such a name{one}")


def _zeros(shapes: Any) -> Any:
    return jax.tree.map(lambda x: jax.numpy.zeros(x.shape, x.dtype), shapes)
