"""Families against transformers: boosted weights, every layer's attention and vectors, planted bugs."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.nn import Capture
from attnjax.pretrained import from_pretrained, save_pretrained
from attnjax.pretrained.table import parameters
from attnjax.pretrained.tensors import open_tensors
from attnjax.pretrained.verify import boost
from tests.pretrained.bugs import Bug, Values

torch = pytest.importorskip("torch", reason="torch is not installed (extra: oracles)")
transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra: oracles)")

TOLERANCE = {"float32": 1e-4, "float64": 1e-9}
CAUGHT = 2 * TOLERANCE["float32"]
"""A planted bug makes a difference of at least so much; right ones differ by about 1e-6."""
VOCAB, LENGTHS = 31, (8, 3, 5)
LONGEST = max(LENGTHS)
MASK = np.arange(LONGEST) < np.array(LENGTHS)[:, None]
"""Where there are tokens in rows that are padded on the right."""
SIZES: Mapping[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A family: the class in transformers, fields of its config, and bugs to plant.

    Attributes:
      settings: bugs as changes of our config.
      weights: bugs as functions from our parameters to others.
      double: whether transformers computes in float64 throughout, where it is asked to.
      every_day: whether one of the settings is tried every day, not with `--slow` alone: each is a program.
    """

    model: str
    fields: Mapping[str, Any]
    settings: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    weights: Mapping[str, Bug] = dataclasses.field(default_factory=dict)
    double: bool = False
    every_day: bool = False
    sizes: ClassVar[Mapping[str, Any]] = SIZES
    """Fields that all cases have."""

    def theirs(self, dtype: str = "float32") -> Any:
        """The model of transformers, with boosted weights."""
        made = getattr(transformers, self.model)
        config = made.config_class(**self.sizes | self.fields, attn_implementation="eager")
        torch.manual_seed(0)
        return boosted(made(config).to(getattr(torch, dtype))).eval()


class Ours:
    """Our model, whose program is compiled once for all values of its parameters.

    Args:
      model: of any class.
      sizes: the other arguments of its class, such as vocab.
    """

    def __init__(self, model: Any, **sizes: Any) -> None:
        self.model, self.sizes = model, sizes
        self.graph, self.state = nnx.split(model)

        @jax.jit
        def run(state: Any, inputs: Any, options: Any) -> Any:
            return nnx.merge(self.graph, state)(*inputs, **options, capture=Capture(hidden=True))

        self._run = run

    def answers(self, bug: Bug | None = None) -> Values:
        """What it says of what transformers is asked, with other parameters where there is a bug."""
        raise NotImplementedError

    def told(self, bug: Bug | None, *inputs: Any, **options: Any) -> Values:
        """All that it says of inputs."""
        state = self.state
        if bug is not None:
            values = bug({name: np.array(param[...]) for name, param in parameters(self.model).items()})
            flat = nnx.to_flat_state(state)
            state = nnx.from_flat_state(
                [(path, param.replace(jnp.asarray(values[".".join(map(str, path))]))) for path, param in flat]
            )
        out = self._run(state, inputs, options)._asdict()
        found = out.pop("weights") | out.pop("hidden") | out.pop("taps") | out
        return {name: np.asarray(x, np.float64) for name, x in found.items() if x is not None}

    def with_settings(self, changes: Mapping[str, Any]) -> Self:
        """The same parameters in a model of another config, as far as it has them."""
        other = type(self.model)(changed(self.model.config, changes), **self.sizes, rngs=nnx.Rngs(0))
        old = parameters(self.model)
        for name, param in parameters(other).items():
            if name in old and old[name].shape == param.shape:
                param[...] = old[name][...]
        return type(self)(other, **self.sizes)


def changed(config: Any, changes: Mapping[str, Any]) -> Any:
    """A config with other settings, those of its parts as mappings."""
    parts = {
        name: changed(getattr(config, name), x) if isinstance(x, Mapping) else x
        for name, x in changes.items()
    }
    other = dataclasses.replace(config, **parts)
    assert other != config, changes
    return other


def boosted(model: Any) -> Any:
    """The model of transformers with weights that make every part of it count."""
    return boost(model, torch)


def moved_left(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Rows of tokens with their padding on the left."""
    order = np.stack([np.roll(np.arange(LONGEST), LONGEST - n) for n in LENGTHS])
    return tuple(np.take_along_axis(x, order, 1) for x in arrays)


def of_tokens(x: np.ndarray, mask: np.ndarray = MASK) -> np.ndarray:
    """The rows of tokens; those of padding are NaN. What is of texts comes back as it is."""
    if x.shape[-2] != mask.shape[1]:
        return x
    return np.where(mask[:, :, None] if x.ndim == 3 else mask[:, None, :, None], x, np.nan)


def difference(found: Values, expected: Values) -> tuple[float, str]:
    """The largest difference, in parts of the largest value of its array, and where it is."""
    assert found.keys() >= expected.keys(), expected.keys() - found.keys()
    sizes = {
        name: float(np.nanmax(np.abs(found[name] - x)) / np.nanmax(np.abs(x))) for name, x in expected.items()
    }
    where = max(sizes, key=lambda name: np.nan_to_num(sizes[name], nan=np.inf))
    return sizes[where], where


EVERYTHING = False
"""With `--slow`: whether every wrong setting of a case is tried, and `verify` reads models of each kind."""


def uncaught(ours: Ours, case: Case, expected: Values) -> dict[str, tuple[float, str]]:
    """The planted bugs that make no difference."""
    found = {name: difference(ours.answers(bug), expected) for name, bug in case.weights.items()}
    settings = list(case.settings.items())
    for name, changes in settings if EVERYTHING else settings[: int(case.every_day)]:
        found[name] = difference(ours.with_settings(changes).answers(), expected)
    return {name: (size, where) for name, (size, where) in found.items() if not size > CAUGHT}


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of each tensor of a folder."""
    return {name: x.tobytes() for name, x in open_tensors(folder).items()}


def saved(model: Any, family: str, theirs: Path, folder: Path) -> tuple[Path, Path]:
    """A model as it came, and as one of ours that a family is found for: folders, bit for bit theirs."""
    as_it_came, own = folder / "as_it_came", folder / "own"
    save_pretrained(model, as_it_came)
    assert contents(as_it_came) == contents(theirs)
    model.origin = None
    save_pretrained(model, own, family=family)
    assert contents(own) == contents(theirs)
    assert from_pretrained(own).config.filled() == model.config.filled()
    return as_it_came, own


def loaded(model: Any, folder: Path) -> Any:
    """A folder as transformers loads it into the class of a model, with all its tensors."""
    found, loading = type(model).from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager"
    )
    assert not any(loading.values()), loading
    return found.eval()
