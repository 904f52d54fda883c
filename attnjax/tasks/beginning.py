"""Parameters that come from elsewhere: which of them a model takes, and what does not fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import jax
import numpy as np

from attnjax.config import InputError
from attnjax.nn.layer_names import axes_in_layer, names_of_layers, one_by_one, stacked_as
from attnjax.tasks.base import Params


@dataclass(frozen=True)
class Beginning:
    """The parameters that a model takes from a source.

    Attributes:
      params: nested dictionaries, which lack those that are new.
      fresh: the others, which the model makes itself, with their shapes.
      unused: parameters of the source that the model has no use for.
    """

    params: Params
    fresh: tuple[str, ...]
    unused: tuple[str, ...]

    @property
    def text(self) -> str:
        """A line on what comes from the source and what does not."""
        count = len(jax.tree.leaves(self.params))
        fresh = f"; made new: {', '.join(self.fresh)}" if self.fresh else ""
        unused = f"; left out: {', '.join(self.unused)}" if self.unused else ""
        return f"{count} parameters are given{fresh}{unused}"


def beginning(
    given: Mapping[str, Any],
    like: Params,
    label: str,
    *,
    fresh: Sequence[str] = (),
    unused: Sequence[str] = (),
) -> Beginning:
    """Returns the given parameters in the structure of a model's, whether or not either stacks its layers.

    Args:
      given: arrays by dotted name.
      like: the model's parameters, or their shapes, in nested dictionaries.
      label: what the error calls the source.
      fresh: patterns of names of parameters that may be new: those of a head.
      unused: patterns of names of parameters that may be left out.

    Raises:
      InputError: One list of all parameters that the source lacks or has in another shape, and of those that
        the model lacks.

    Example:
      >>> like = {"block": {"kernel": np.zeros((2, 3))}, "head": {"kernel": np.zeros((3, 1))}}
      >>> found = beginning({"block.kernel": np.ones((2, 3))}, like, "source", fresh=["head.*"])
      >>> found.fresh
      ('head.kernel [3, 1]',)
    """
    wanted = [
        jax.tree_util.keystr(path, simple=True, separator=".")
        for path, _ in jax.tree_util.tree_leaves_with_path(like)
    ]
    shapes = {
        own: leaf.shape[len(leaf.shape) - axes_in_layer(name, len(leaf.shape)) :]
        for name, leaf in zip(wanted, jax.tree.leaves(like), strict=True)
        for own in names_of_layers(name)
    }
    given = one_by_one(given)
    wrong, taken, new = [], dict[str, Any](), []
    for name, shape in shapes.items():
        found = given.get(name)
        if found is not None and tuple(found.shape) == tuple(shape):
            taken[name] = found
        elif any(fnmatchcase(name, pattern) for pattern in fresh):
            new.append(f"{name} {list(shape)}")
        elif found is None:
            wrong.append(f"{name} {list(shape)}: the source has none")
        else:
            wrong.append(f"{name} {list(found.shape)}: expected {list(shape)}")
    if not wrong:
        held = {name: [own in taken for own in names_of_layers(name)] for name in wanted}
        wrong += [
            f"{name}: the source has some of its layers, which model.scan_layers keeps in one array"
            for name, own in held.items()
            if any(own) and not all(own)
        ]
    left = sorted(given.keys() - shapes.keys())
    wrong += [
        f"{name} {list(given[name].shape)}: the model has none"
        for name in left
        if not any(fnmatchcase(name, pattern) for pattern in unused)
    ]
    if wrong:
        raise InputError(f"{label} does not fit the model in {len(wrong)} places: {'; '.join(wrong)}")
    return Beginning(nested(stacked_as(wanted, taken)), tuple(new), tuple(left))


def nested(flat: Mapping[str, Any]) -> Params:
    """Returns nested dictionaries of arrays by dotted name; numbers between dots are integers, as in flax.

    Example:
      >>> nested({"blocks.0.scale": 1, "bias": 2})
      {'blocks': {0: {'scale': 1}}, 'bias': 2}
    """
    made: dict[Any, Any] = {}
    for name, value in flat.items():
        *parents, last = [int(part) if part.isdecimal() else part for part in name.split(".")]
        place = made
        for part in parents:
            place = place.setdefault(part, {})
        place[last] = value
    return made


def flat(params: Params) -> dict[str, np.ndarray]:
    """Returns arrays on the host by dotted name.

    Example:
      >>> flat({"blocks": {0: {"scale": np.ones(1)}}})
      {'blocks.0.scale': array([1.])}
    """
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }
