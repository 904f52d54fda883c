"""Taps: named sites of a model, read and written while it runs."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from attnjax.nn.attention.capture import Capture, Indices


class NoSite(ValueError):
    """A model has no sites, or none of the name that `Taps` ask for."""


Edit = Callable[[Array], Array]
"""A function from the array of a site to the one that the model goes on with; a `Partial` holds arrays."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Taps:
    """A request to read and to write what a model computes at named sites.

    A site is named by the path of its part: "blocks.0.attention.weights", "decoder.1.cross_attention.heads",
    "encoder.0.residual", "embedding.tokens", "norm", "logits". In a pattern * stands for anything and ? for
    one character. An attention layer has the sites query, key, values, scores, weights, heads (what each head
    reads) and out; a block middle (between its two layers), feed_forward.out and residual (its result); a
    layer of a recurrent network states.

    Reading changes no bit of the output. What is written is what the model goes on with, and gradients pass
    through it; where values, scores or weights of a layer are written, its heads are weights·values in that
    order, whatever its engine is.

    Attributes:
      read: patterns of the sites to return, in the `taps` of a model's output; after they were written.
      write: an edit for each pattern, or several one after the other. It may hold traced arrays, so that taps
        are an argument of a compiled function, of `jax.grad` and `jax.vmap`.
      rows: the numbers of the query rows of scores and weights to read; None: all.

    Example:
      >>> taps = Taps(read="*.weights", write={"blocks.0.attention.heads": ablate()})
      >>> taps.read
      ('*.weights',)
    """

    read: tuple[str, ...] | str = field(default=(), metadata={"static": True})
    write: Mapping[str, Edit] = field(default_factory=dict)
    rows: Indices = field(default=None, metadata={"static": True})

    def __post_init__(self) -> None:
        if isinstance(self.read, str):
            object.__setattr__(self, "read", (self.read,))
        # Trees that are put together again hold anything here.
        if isinstance(self.write, Mapping):
            edits = {
                path: Partial(edit) if callable(edit) and not isinstance(edit, Partial) else edit
                for path, edit in self.write.items()
            }
            object.__setattr__(self, "write", edits)


def patch(array: Any, where: Any = None) -> Edit:
    """Returns the edit that puts an array in the place of a site's, or of its entries where `where` is True.

    Both broadcast to the site.

    Example:
      >>> patch(2.0, where=jnp.array([True, False]))(jnp.zeros(2)).tolist()
      [2.0, 0.0]
    """
    return Partial(_patched, array, where)


def ablate(where: Any = None, *, mean: Any = None) -> Edit:
    """Returns the edit that puts 0, or the given mean, in the place of the entries where `where` is True."""
    return Partial(_patched, 0.0 if mean is None else mean, where)


def scale(factor: Any) -> Edit:
    """Returns the edit that multiplies a site by a factor, which broadcasts to it."""
    return Partial(_scaled, factor)


def add(array: Any) -> Edit:
    """Returns the edit that adds an array; by that of zeros one finds the gradient by a site."""
    return Partial(_added, array)


def uniform() -> Edit:
    """Returns the edit of weights by which each row spreads evenly over the keys that it gave weight to.

    Example:
      >>> uniform()(jnp.array([[0.9, 0.1, 0.0]])).tolist()
      [[0.5, 0.5, 0.0]]
    """
    return Partial(_spread)


def _patched(array: Array, where: Bool[Array, "..."] | None, x: Array) -> Array:
    array = jnp.broadcast_to(jnp.asarray(array).astype(x.dtype), x.shape)
    return array if where is None else jnp.where(where, array, x)


def _scaled(factor: Array, x: Array) -> Array:
    return x * jnp.asarray(factor).astype(x.dtype)


def _added(array: Array, x: Array) -> Array:
    return x + jnp.asarray(array).astype(x.dtype)


def _spread(x: Array) -> Array:
    seen = (x > 0).astype(x.dtype)
    return seen / jnp.maximum(seen.sum(-1, keepdims=True), 1)


class Sites:
    """Taps as the parts of a model see them in one call: each offers its arrays under its own name.

    Args:
      taps: the request.

    Attributes:
      found: what was read, by path.
      rows: of the request.

    Example:
      >>> sites = Sites(Taps(read="*.out", write={"part.out": scale(2.0)}))
      >>> part = sites.within("part")
      >>> part("out", jnp.ones(2)).tolist(), list(sites.found)
      ([2.0, 2.0], ['part.out'])
    """

    def __init__(self, taps: Taps) -> None:
        self.taps = taps
        self.path = ""
        self.rows = taps.rows
        self.found: dict[str, Float[Array, ...]] = {}
        self._offered: dict[str, bool] = {}

    def within(self, part: str) -> "Sites":
        """Returns the sites of a part of this part."""
        inner = object.__new__(type(self))
        inner.__dict__ |= self.__dict__ | {"path": f"{self.path}{part}."}
        return inner

    def reads(self, *names: str) -> bool:
        """Returns whether any of these sites is to be read."""
        return any(fnmatchcase(self.path + name, pattern) for name in names for pattern in self.taps.read)

    def writes(self, *names: str) -> bool:
        """Returns whether any of these sites is to be written."""
        return any(fnmatchcase(self.path + name, pattern) for name in names for pattern in self.taps.write)

    def offer(self, *names: str, writable: bool = True) -> None:
        """Notes that there are sites of these names, whose arrays are computed where they are asked for.

        Raises:
          ValueError: One is to be written, and cannot.
        """
        for name in names:
            self._offered[self.path + name] = writable
            if not writable and self.writes(name):
                raise ValueError(f"capture.write: {self.path + name} can be read, not written")

    def __call__(self, name: str, x: Array) -> Array:
        """Returns the array of a site as the model goes on with it."""
        self.offer(name)
        if self.writes(name):
            x = self._edited(name, x)
        if self.reads(name):
            self.note(name, self._cut(name, x))
        return x

    def note(self, name: str, x: Array) -> None:
        """Takes in what is to be read of a site."""
        self.found[self.path + name] = x

    def _edited(self, name: str, x: Array) -> Array:
        """Returns the array of a site after all edits of it."""
        for pattern, edit in self.taps.write.items():
            if fnmatchcase(self.path + name, pattern):
                x = edit(x)
        return x

    def _cut(self, name: str, x: Array) -> Array:
        """Returns the rows of an array that are asked for, where it is of pairs."""
        if self.rows is None or name not in ("scores", "weights"):
            return x
        if any(row >= x.shape[-2] for row in self.rows):
            raise ValueError(f"taps.rows {self.rows}: there are {x.shape[-2]}, counted from 0")
        return x[..., np.array(self.rows, int), :]

    def take_in(self, found: Mapping[str, Array]) -> None:
        """Takes in what is asked for of what a part found in a call of its own."""
        for path, x in found.items():
            if any(fnmatchcase(path, pattern) for pattern in self.taps.read):
                self.found[path] = self._cut(path.rpartition(".")[2], x)

    def reading(self, name: str) -> "Sites":
        """Returns these sites for a call of its own that reads one more, in all of its rows."""
        taps = replace(self.taps, read=(*self.taps.read, self.path + name))
        inner = self.within("")
        inner.__dict__ |= {"path": self.path, "taps": taps, "found": {}, "rows": None}
        return inner

    def require_known(self) -> None:
        """Raises NoSite for a pattern that none of the sites so far has, with the nearest."""
        for name, patterns in {"read": self.taps.read, "write": self.taps.write}.items():
            for pattern in patterns:
                if not any(fnmatchcase(path, pattern) for path in self._offered):
                    near = difflib.get_close_matches(pattern, self._offered, 3, 0.4)
                    raise NoSite(
                        f"capture.{name} {pattern!r}: there is no such site; "
                        f"the nearest are {', '.join(near or list(self._offered)[:3])}"
                    )


class StepSites(Sites):
    """Sites in a scan over tokens, in which each array has one of them: `found` is what the step gives.

    An edit of a site is given the array of all tokens, in which those of the others are 0, and its own
    token's part of what it returns goes on.

    Args:
      sites: those of the model around the scan.
      token: the number of the step.
      tokens: the number of steps.
    """

    def __init__(self, sites: Sites, token: Int[Array, ""], tokens: int) -> None:
        self.__dict__ |= sites.__dict__ | {"found": {}, "rows": None}
        self._token, self._tokens = token, tokens

    @staticmethod
    def stacked(found: Mapping[str, Float[Array, "T ..."]]) -> dict[str, Array]:
        """Returns what all steps found, as the sites around the scan take it in."""
        whole = {}
        for path, x in found.items():
            axis = _axis_of_tokens(path.rpartition(".")[2])
            whole[path] = jnp.moveaxis(jnp.squeeze(x, axis), 0, axis)
        return whole

    def _edited(self, name: str, x: Array) -> Array:
        axis = _axis_of_tokens(name)
        shape = list(x.shape)
        shape[axis] = self._tokens
        whole = jax.lax.dynamic_update_slice_in_dim(jnp.zeros(shape, x.dtype), x, self._token, axis)
        return jax.lax.dynamic_slice_in_dim(super()._edited(name, whole), self._token, 1, axis)


def _axis_of_tokens(name: str) -> int:
    """Returns the axis of the tokens in the array of a site: heads stand after it in some."""
    return -3 if name in ("query", "key", "values", "heads") else -2


Request = Capture | Sites | None
"""The kinds of request that a layer takes as its capture."""
Asked = Capture | Taps | Sites | None
"""The kinds of request that a model takes as its capture."""


def within(asked: Request, part: str) -> Request:
    """Returns the request as a part sees it."""
    return asked.within(part) if isinstance(asked, Sites) else asked


def tapped(asked: Request, name: str, x: Array) -> Array:
    """Returns the array of a site as the model goes on with it: x itself where nothing is asked."""
    return asked(name, x) if isinstance(asked, Sites) else x
