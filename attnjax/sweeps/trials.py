"""The trials of a sweep: which combinations of changes there are, and the config of each.

Free of jax, so that the command line can say at once what is wrong with a sweep.
"""

import dataclasses
import itertools
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attnjax.config import InputError, require, require_seed
from attnjax.experiment.changes import Changes, field_type, replaced, typed, with_changes
from attnjax.experiment.serialize import decode_value, encode, encode_value
from attnjax.experiment.words import changes_text
from attnjax.sweeps.space import Categorical, Range

MAX_LISTED_REFUSALS = 5


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run of a sweep: the fields that the sweep sets, by dotted name, and the whole config."""

    number: int
    changes: Changes
    config: Any


def grid(axes: Mapping[str, Sequence[Any]]) -> list[Changes]:
    """Every combination; the last axis changes fastest.

    >>> grid({"model.heads": [2, 4], "seed": [0, 1]})[:2]
    [{'model.heads': 2, 'seed': 0}, {'model.heads': 2, 'seed': 1}]
    """
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def zipped(axes: Mapping[str, Sequence[Any]]) -> list[Changes]:
    """The first value of every axis together, then the second of every axis, and so on.

    >>> zipped({"model.dim": [64, 128], "model.heads": [2, 4]})
    [{'model.dim': 64, 'model.heads': 2}, {'model.dim': 128, 'model.heads': 4}]

    Raises InputError for axes of different lengths.
    """
    lengths = ", ".join(f"{name} has {len(values)}" for name, values in axes.items())
    same = len({len(values) for values in axes.values()}) <= 1
    require(same, f"zipped axes need equally many values: {lengths}")
    return [dict(zip(axes, values, strict=True)) for values in zip(*axes.values(), strict=True)]


def sampled(space: Mapping[str, Categorical | Range], count: int, seed: int) -> list[Changes]:
    """Random search (Bergstra and Bengio 2012): `count` different draws, the same ones for the same seed.

    A larger count begins with the draws of a smaller one. Raises InputError for a count below 1 or above what
    the space holds.
    """
    import numpy as np

    size = math.prod(axis.size for axis in space.values())
    require(count >= 1, f"the number of samples is {count}: expected 1 or more")
    require(count <= size, f"the number of samples is {count}: the space holds only {size} different ones")
    require_seed("the seed of the samples", seed)
    rng = np.random.default_rng(seed)
    drawn: dict[tuple[Any, ...], Changes] = {}
    while len(drawn) < count:
        changes = {name: axis.sample(rng) for name, axis in space.items()}
        drawn.setdefault(_key(changes), changes)
    return list(drawn.values())


def with_seeds(changes_list: Iterable[Changes], seeds: int, first: int = 0) -> list[Changes]:
    """Every entry with the seeds first, …, first + seeds - 1, one after the other.

    An entry that sets its seed keeps it, which needs `seeds` to be 1. Raises InputError where it is not.
    """
    require(seeds >= 1, f"the number of seeds is {seeds}: expected 1 or more")
    require_seed("the first seed", first)
    require_seed("the last seed", first + seeds - 1)
    repeated = []
    for changes in changes_list:
        own = "seed" in changes
        require(not own or seeds == 1, f"the number of seeds is {seeds}: the sweep sets seed itself")
        repeated += [changes] if own else [{**changes, "seed": first + i} for i in range(seeds)]
    return repeated


def make_trials(
    config: Any, changes_list: Iterable[Changes], *, skip_invalid: bool
) -> tuple[list[Trial], list[str]]:
    """The trials, numbered from 0, and a line for each combination that was left out (whatever its seed).

    Raises InputError for an unknown field, a value of the wrong type, two equal trials, no trials at all,
    and, unless `skip_invalid`, for combinations that the config refuses: all of them in one line.
    """
    asked = [typed(config, changes) for changes in changes_list]
    _require_different(asked)
    kept, refused = [], []
    for changes in asked:
        try:
            made = replaced(config, changes)
            require_seed("seed", made.seed)
            kept.append((changes, made))
        except ValueError as error:
            refused.append(f"{shown(changes)}: {' '.join(str(error).split())}")
    if refused and (not skip_invalid or not kept):
        raise InputError(refusal(refused, len(refused), len(asked)))
    require(len(kept) > 0, "the sweep has no trials")
    return [Trial(number, *pair) for number, pair in enumerate(kept)], _different(refused)


def possible(config: Any, changes_list: Iterable[Changes]) -> list[Trial]:
    """The trials that the config does not refuse, which may be the same twice."""
    found = []
    for number, changes in enumerate(changes_list):
        try:
            found.append(Trial(number, changes, with_changes(config, changes)))
        except ValueError:
            continue
    return found


def encoded_changes(config: Any, changes: Changes) -> Changes:
    """The changes as JSON holds them."""
    return {name: encode_value(field_type(config, name, "a trial"), v, name) for name, v in changes.items()}


def decoded_changes(config: Any, data: Changes) -> Changes:
    """The inverse of `encoded_changes`."""
    return {name: decode_value(field_type(config, name, "a trial"), v, name) for name, v in data.items()}


def static_config(config: Any) -> Any:
    """Returns the part of a config that decides the compiled program.

    It is the config with its traced fields at their defaults and with seed 0.

    A field whose metadata has "static" (a function of its value) takes what that gives instead.
    """
    return dataclasses.replace(_untraced(config), seed=0)


def one_program(config: Any, name: str, values: Iterable[Any]) -> bool:
    """Returns True if one compiled program serves all of these values of a field."""
    if name == "seed":
        return True
    *path, last = name.split(".")
    for part in path:
        config = getattr(config, part)
    metadata = next(field.metadata for field in dataclasses.fields(config) if field.name == last)
    if "static" in metadata:
        return len({repr(metadata["static"](value)) for value in values}) == 1
    return bool(metadata.get("traced"))


def in_shape_of(config: Any, changes: Changes, other: Changes) -> Changes:
    """The changes; a field that would need another program than in `other` has the value of that."""
    return {
        name: value if one_program(config, name, (value, other[name])) else other[name]
        for name, value in changes.items()
    }


def shape_groups(trials: Iterable[Trial]) -> list[list[Trial]]:
    """Trials of one static config together, by first appearance: one compiled program serves each group."""
    groups: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[json.dumps(encode(static_config(trial.config)))].append(trial)
    return list(groups.values())


def _require_different(changes_list: list[Changes]) -> None:
    seen = set()
    for changes in changes_list:
        twice = changes_text(changes) or "no changes"
        require(_key(changes) not in seen, f"the sweep has a trial twice: {twice}")
        seen.add(_key(changes))


def _key(changes: Changes) -> tuple[Any, ...]:
    return tuple((name, repr(value)) for name, value in sorted(changes.items()))


def refusal(refused: list[str], count: int, total: int) -> str:
    """Returns one line on the trials that the config refuses, out of `total`."""
    different = _different(refused)
    more = (
        f"; and {len(different) - MAX_LISTED_REFUSALS} more" if len(different) > MAX_LISTED_REFUSALS else ""
    )
    remedy = " (--skip-invalid leaves them out)" if count < total else ""
    return f"{count} of {total} trials can't be: {'; '.join(different[:MAX_LISTED_REFUSALS])}{more}{remedy}"


def _different(refused: list[str]) -> list[str]:
    """Each line once: the seeds of a combination repeat what is wrong with it."""
    return list(dict.fromkeys(refused))


def shown(changes: Changes) -> str:
    """The changes without the seed, which has no part in whether a config can be."""
    return changes_text({name: value for name, value in changes.items() if name != "seed"} or changes)


def _untraced(config: Any) -> Any:
    values = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if "static" in field.metadata:
            values[field.name] = field.metadata["static"](value)
        elif field.metadata.get("traced"):
            values[field.name] = field.default
        elif dataclasses.is_dataclass(value):
            values[field.name] = _untraced(value)
    return dataclasses.replace(config, **values)
