"""The result of every method, and the table that the methods are in."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Float

from attnjax.config import require
from attnjax.explain.question import EVEN_POOLING, Question, part_of


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Attribution:
    """A score for each token, and what the method says beside it.

    Attributes:
      scores: [B, T]; padding has 0.
      present: [B, T], True where there is a token.
      method: its name in `METHODS`.
      value: [B], the number that is explained; None where the method does not compute it.
      baseline: [B], the number without any token; None where the method has none.
      extra: further arrays of the method, by name.

    Example:
      >>> scores = np.array([[0.5, 0.25]])
      >>> found = Attribution(scores, scores > 0, "occlusion", np.array([1.0]), np.array([0.0]))
      >>> found.error.tolist(), found.order()[0].tolist()
      ([0.25], [0, 1])
    """

    scores: Float[Array, "B T"]
    present: Bool[Array, "B T"]
    method: str = field(default="", metadata={"static": True})
    value: Float[Array, " B"] | None = None
    baseline: Float[Array, " B"] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def error(self) -> Float[Array, " B"] | None:
        """[B], what the scores leave of value - baseline, the completeness error; None without a baseline."""
        if self.value is None or self.baseline is None:
            return None
        return self.value - self.baseline - self.scores.sum(-1)

    def order(self) -> list[np.ndarray]:
        """Returns for each row its tokens from the highest score to the lowest, without padding."""
        scores, present = np.asarray(self.scores), np.asarray(self.present)
        return [
            found[there[found]]
            for row, there in zip(scores, present, strict=True)
            for found in [np.argsort(-row, kind="stable")]
        ]

    def __str__(self) -> str:
        lines = []
        for row, there in zip(np.asarray(self.scores), np.asarray(self.present), strict=True):
            lines.append(f"{self.method}: " + " ".join(f"{score:.4g}" for score in row[there]))
        if self.error is not None and self.value is not None and self.baseline is not None:
            for row, (value, baseline, error) in enumerate(
                zip(np.asarray(self.value), np.asarray(self.baseline), np.asarray(self.error), strict=True)
            ):
                lines[row] += f" | {baseline:.4g} → {value:.4g}, completeness error {error:.2g}"
        return "\n".join(lines)


@dataclass(frozen=True)
class Method:
    """A method in the table.

    Attributes:
      name: in the table.
      function: from a question and options to an `Attribution`; compiled once for each shape and option.
      needs: of "weights" (of attention), "gradients" and "perturbation" (many runs of the model).
      paper: the arXiv id of its source, where it has one.
      what: it in one line.
      stacks: "any", or "one" where it is not defined for an encoder beside a decoder.
    """

    name: str
    function: Callable[..., Attribution]
    needs: frozenset[str]
    paper: str | None
    what: str
    stacks: str
    options: tuple[str, ...]


METHODS: dict[str, Method] = {}
"""The methods of attribution by their name."""


def method(
    name: str,
    *needs: str,
    paper: str | None = None,
    static: Iterable[str] = (),
    stacks: str = "any",
    compiled: bool = True,
) -> Callable[[Callable[..., Attribution]], Callable[..., Attribution]]:
    """Returns the decorator that enters a function into the table, compiled with `static` options."""

    def enter(function: Callable[..., Attribution]) -> Callable[..., Attribution]:
        run: Any = jax.jit(function, static_argnames=tuple(static)) if compiled else function
        what = (function.__doc__ or "").splitlines()[0].removeprefix("Returns ").rstrip(".")
        options = tuple(list(inspect.signature(function).parameters)[1:])
        METHODS[name] = Method(name, run, frozenset(needs), paper, what, stacks, options)
        return function

    return enter


def attribute(name: str, question: Question, **options: Any) -> Attribution:
    """Returns the scores that a method gives to the tokens of a question.

    Args:
      name: of `METHODS`.
      question: from `ask`.
      options: of the method.

    Raises:
      InputError: the method or an option is unknown, or does not fit the model.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from attnjax.explain import ask
      >>> from attnjax.models import LanguageModel, LanguageModelConfig
      >>> model = LanguageModel(LanguageModelConfig(dim=8, layers=1), vocab=11, rngs=nnx.Rngs(0))
      >>> attribute("gradient_x_input", ask(model, jnp.array([[3, 1, 4]]))).scores.shape
      (1, 3)
    """
    require_known(name)
    found = METHODS[name]
    for option in options:
        require(
            option in found.options,
            f"{option} is given: {name} takes {', '.join(found.options) or 'no options'}",
        )
    require_fits(found, question)
    return found.function(question, **options)


def require_known(name: str, table: Mapping[str, Any] = METHODS, label: str = "method is") -> None:
    """Raises InputError for a name that no row of a table has, with the nearest; a label begins it."""
    near = difflib.get_close_matches(name, table, 3, 0.4) or list(table)
    known = f"there is none of this name; the nearest are {', '.join(near)}"
    require(name in table, f"{label} {name!r}: {known}")


def require_fits(found: Method, question: Question) -> None:
    """Raises InputError where a method does not fit the model of a question."""
    pooling = getattr(question.model.config, "pooling", None)
    require(
        "weights" not in found.needs or pooling in (None, *EVEN_POOLING),
        f"method is {found.name!r}: the model pools by {pooling}, which is no known mean of tokens",
    )
    one = question.stack != "decoder"
    require(
        one or found.stacks == "any",
        f"method is {found.name!r}: it is defined for one stack, not for an encoder beside a decoder",
    )
    both = {"weights", "gradients"} <= found.needs
    require(
        question.layers > 0 or not both,
        f"method is {found.name!r}: it is defined for layers of attention, not for a recurrent network",
    )
    if "weights" in found.needs:
        sites = question.sites()
        layers = [path.removesuffix(".out") for path in sites if path.endswith("attention.out")]
        if "gradients" not in found.needs:
            layers = question.attention_layers(part_of(question))
        for path in layers:
            require(
                f"{path}.weights" in sites,
                f"method is {found.name!r}: it needs weights of attention, and {path} has none",
            )
            require(
                len(sites[f"{path}.weights"]) > 3,
                f"method is {found.name!r}: it needs weights of pairs of tokens, {path} has some of edges",
            )
