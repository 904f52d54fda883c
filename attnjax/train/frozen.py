"""The parameters that a training leaves as they are, and patterns that choose none."""

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import jax

from attnjax.config import InputError
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
            return Adapted(True, False, False, None if leaf.magnitude is None else False, leaf.scale)  # type: ignore[arg-type]
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
    for field in PATTERN_FIELDS:
        _require(f"train.{field}", getattr(config, field), list(leaves))
    adapter = config.adapter
    if adapter.kind != "none":
        matrices = [name for name, leaf in leaves.items() if leaf.ndim >= 2]
        _require("train.adapter.patterns", adapter.patterns, matrices, "matrix")
        _require("train.adapter.trained", adapter.trained, list(leaves))
        for name in [name for name, leaf in leaves.items() if has_adapter(name, leaf, adapter)]:
            if ".feed_forward." in name and leaves[name].ndim > 2:
                raise InputError(f"train.adapter.patterns choose {name}, which is a stack of experts")
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
