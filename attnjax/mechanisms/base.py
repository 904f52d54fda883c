"""Declarations of mechanisms: what is known of one before any of its code runs. Free of jax."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from attnjax.config import InputError, require
from attnjax.mechanisms.option import Option

Kind = Literal["softmax", "recurrence", "recipe", "layer"]
Role = Literal["mask", "comparison", "score", "normalizer", "gate"]
GateRange = Literal["log_decay", "strength", "rate", "positive", "unit", "free", "random"]
Decay = Literal["logsigmoid", "softplus"]
TwoSided = Literal["sum", "quotient", "mean"]
Takes = Literal["tokens", "context", "pool", "image", "graph", "depth"]
Target = str | Callable[..., Any]

TAKES: Mapping[Takes, str] = {
    "tokens": "tokens",
    "context": "tokens and a context that they read",
    "pool": "a set of vectors, of which it makes a few",
    "image": "images",
    "graph": "graphs",
    "depth": "what all layers before it gave",
}
"""The words for what a layer is called with, in errors and in the documentation."""

NO_POOL: Mapping[str, str] = {
    "hierarchical": "pools words to sentences first, and here there are tokens alone",
    "co_attention": "gives vectors of both sides, and one is expected",
    "monotonic": "reads in an order, and a pool has one step",
    "coverage": "reads step by step, and a pool has one step",
    "local_p": "reads around a place, and a set has no order",
    "pointer": "writes words, and a vector is expected",
}
"""The reasons why mechanisms that take a set, or a context, cannot pool."""
SENTENCES = "hierarchical"
"""The one of them that pools in an encoder of texts, whose tokens say where sentences end."""


@dataclass(frozen=True)
class Paper:
    """The paper that a mechanism is from; `arxiv` is its id there, None where it has none."""

    authors: str
    year: int
    title: str
    arxiv: str | None = None

    def __str__(self) -> str:
        place = "" if self.arxiv is None else f", arXiv:{self.arxiv}"
        return f"{self.authors}, {self.title}, {self.year}{place}"


def _frozen(options: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return MappingProxyType(dict(options or {}))


ONE_SIZE = "a state of one size"
"""Of caches that do not grow with the tokens."""


@dataclass(frozen=True, kw_only=True)
class Mechanism:
    """One mechanism.

    Attributes:
      name: the word that a config, a sweep and the command line call it by.
      formula: one line.
      target: the function or class, or its place as "package.module:name", which is imported on first use.
      paper: where it is from, None for one that has none.
      options: what a config can set, by name.
      cost: of a head in T tokens, as a text.
      causal_only: it cannot read both ways.
      two_sided_only: it cannot read causally.
      packs: sequences that are packed in one row can be kept apart.
      streaming: with a cache it gives for token after token what it gives for all at once.
      holds: what it holds of the tokens before, for that.
      takes: what it is called with; only a `Layer` takes something else than tokens.
      has_weights: there are attention weights, to capture and to drop out.
      heads_differ: heads differ by more than their parameters (fixed decays or slopes): their order counts.
      place: the file and line of one that a user registered; empty for those of this package.
    """

    kind: ClassVar[Kind] = "softmax"

    name: str
    formula: str
    target: Target
    paper: Paper | None = None
    options: Mapping[str, Option] = field(default_factory=dict)
    cost: str = "O(T²·H)"
    causal_only: bool = False
    two_sided_only: bool = False
    packs: bool = True
    streaming: bool = True
    holds: str = "a cache of keys and values"
    takes: Takes = "tokens"
    has_weights: bool = True
    heads_differ: bool = False
    place: str = ""

    def __post_init__(self) -> None:
        require(
            self.name.isidentifier(),
            f"a mechanism's name is {self.name!r}: expected letters, digits and underscores",
        )
        require(self.takes in TAKES, f"{self.name} takes {self.takes!r}: expected one of {', '.join(TAKES)}")
        object.__setattr__(self, "options", _frozen(self.options))

    @property
    def function(self) -> Callable[..., Any]:
        """The function or class itself; importing it may load jax."""
        if not isinstance(self.target, str):
            return self.target
        module, _, name = self.target.partition(":")
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return found

    @property
    def keys_are_gates(self) -> bool:
        """There are no keys to rotate or to normalise."""
        return False

    def require_takes(self, given: Takes | tuple[Takes, ...], label: str) -> None:
        """Raises InputError, which begins with a label, where it takes nothing of what is given.

        >>> mine = Layer(name="mine", formula="", target="", takes="graph")
        >>> mine.require_takes("tokens", "model.mechanism is 'mine'")
        Traceback (most recent call last):
        attnjax.config.InputError: model.mechanism is 'mine': mine takes graphs, and here it is given tokens
        """
        given = (given,) if isinstance(given, str) else given
        require(
            self.takes in given,
            f"{label}: {self.name} takes {TAKES[self.takes]}, and here it is given "
            + " or ".join(TAKES[one] for one in given),
        )

    def checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the given options in their types.

        Raises:
          InputError: an option that there is not, or a value that it does not take.

        >>> mine = Mechanism(name="mine", formula="", target="", options={"c": Option(1, "", least=1)})
        >>> mine.checked({"d": 2})
        Traceback (most recent call last):
        attnjax.config.InputError: mine takes no option 'd'; it takes c
        """
        for name in given:
            if name not in self.options:
                raise InputError(
                    f"{self.name} takes no option {name!r}; it takes {', '.join(self.options) or 'none'}"
                )
        return {name: self.options[name].check(f"{self.name}: {name}", x) for name, x in given.items()}


@dataclass(frozen=True)
class Gate:
    """An argument of a recurrence beside query, key and value, which a layer makes.

    Attributes:
      axes: its shape, with the sizes of `linear_attention` and M writes or slots, L levels, F features.
      range: "log_decay" is at most 0, "strength" in [0, 1] (the delta rules: up to 2), "positive" above 0,
        "rate" below 0, "unit" a vector of length 1, "free" any number, "random" drawn once and not learned.
      optional: the function works without it.
      start: where a layer's values of a "free", "positive" or (in size) "rate" gate begin; drawn
        log-uniformly from a pair.
      decay: the form of a layer's "log_decay" of tokens; None: "softplus" for one of heads, "logsigmoid" for
        one of channels.
    """

    axes: str
    range: GateRange
    optional: bool = False
    start: float | tuple[float, float] = 1.0
    decay: Decay | None = None

    @property
    def per_token(self) -> bool:
        """A layer projects it from its inputs; otherwise it is a parameter."""
        return self.axes.startswith("*B T")


@dataclass(frozen=True, kw_only=True)
class Recurrence(Mechanism):
    """A member of the linear family: a function of query, key, value and gates, with a state.

    Attributes:
      gates: what a layer makes for it besides query, key and value.
      key: what comes as the second argument: "free"; "unit", keys of length 1; "log_forget", log-decays
        [*B, T, K, H] that stand for the key; "writes", unit keys with an axis M after T (so have the values).
      many_values: values have more heads K than queries and keys have groups G, which then share them.
      unit_query: queries should have length 1 too.
      short_convolution: the paper's layer has one before queries, keys and values.
      two_sided: how `bidirectional` joins both directions; None: causal only.
      state: the shape of the state, or of each of its parts.
      shards: its tokens may lie in shards on a mesh axis, since it looks back through its state alone.

    >>> from attnjax.mechanisms import find
    >>> {name: gate.axes for name, gate in find("gated_delta_net").gates.items()}
    {'decay': '*B T K', 'strength': '*B T K'}
    """

    kind = "recurrence"

    cost: str = "O(T·H·V)"
    holds: str = ONE_SIZE
    has_weights: bool = False
    gates: Mapping[str, Gate] = field(default_factory=dict)
    key: Literal["free", "unit", "log_forget", "writes"] = "free"
    many_values: bool = False
    unit_query: bool = False
    short_convolution: bool = False
    two_sided: TwoSided | None = None
    state: str | Mapping[str, str] = "*B K H V"
    shards: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "gates", _frozen(self.gates))
        object.__setattr__(self, "causal_only", self.two_sided is None)

    @property
    def keys_are_gates(self) -> bool:
        """Log-decays stand for the keys."""
        return self.key == "log_forget"

    @property
    def token_gates(self) -> tuple[str, ...]:
        """The names of the gates that have an axis of tokens."""
        return tuple(name for name, gate in self.gates.items() if gate.per_token)


@dataclass(frozen=True, kw_only=True)
class Recipe(Mechanism):
    """A part of softmax attention: a mask, a comparison, a score modification, a normaliser or a gate.

    Attributes:
      role: which of the five. A gate changes what the heads read, before the last projection.
      of_layer: the target is a module with parameters of its own, which a layer makes and then calls.
      widens: of a mask, that it adds to what a causal model sees, where others take away.
      drawn: arguments of a mask that is drawn for `attnjax show`, where the defaults are too wide.
    """

    kind = "recipe"

    role: Role
    of_layer: bool = False
    widens: bool = False
    drawn: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Layer(Mechanism):
    """A module of its own, in the place of the attention layer where it takes tokens.

    Its `takes` is "tokens" for [*B, T, D], "context" for tokens and others [*B, S, C] that they read, "pool"
    for a set [*B, S, D] of which it makes a few vectors, "image" for [*B, Y, X, D], "graph" for nodes
    [*B, N, D] and edges, "depth" for the outputs of all layers before it.

    Attributes:
      scaled: it takes a `scale` of the products of queries and keys.
    """

    kind = "layer"

    scaled: bool = False
