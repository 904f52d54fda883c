"""Inputs with some of their tokens taken out, and the numbers that a model gives for them."""

from dataclasses import replace
from functools import partial
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from attnjax.config import require
from attnjax.explain.attributions.perturbation import values_of
from attnjax.explain.question import Question

Removal = Literal["replace", "delete"]
"""Removed tokens give their place to the baseline, or the others move together."""
_MOVED = ("types",)
_KNOWN = ("lengths", "mask", *_MOVED)


def removed_values(
    question: Question,
    kept: Bool[Array, "M B T"],
    removal: Removal = "replace",
    baseline: Any = None,
    at_once: int = 32,
) -> Float[Array, "M B"]:
    """Returns the number of each input with only the kept tokens, as one program for all M.

    Args:
      question: from `ask`.
      kept: True where a token stays; padding always does.
      removal: "replace" puts the baseline in the place of a token, "delete" closes the gap.
      baseline: as in `integrated_gradients`: the id of a mask token, vectors, or None for vectors of 0.
      at_once: versions of the batch that the model reads together.

    Example:
      >>> from flax import nnx
      >>> from attnjax.explain import Target, ask
      >>> from attnjax.models import LanguageModel, LanguageModelConfig
      >>> model = LanguageModel(LanguageModelConfig(dim=8, layers=1), vocab=11, rngs=nnx.Rngs(0))
      >>> longer = ask(model, jnp.array([[3, 1, 4]]), target=Target(2))
      >>> shorter = ask(model, jnp.array([[1, 4]]), target=Target(2))
      >>> values = removed_values(longer, jnp.array([[[False, True, True]]]), "delete")
      >>> bool(jnp.allclose(values[0], shorter.value(), atol=1e-5))
      True
    """
    values: Float[Array, "M B"] = _values(question, kept, baseline, removal, at_once)
    return values


@partial(jax.jit, static_argnums=(3, 4))
def _values(question: Question, kept: Array, baseline: Any, removal: str, at_once: int) -> Array:
    if removal == "replace":
        return values_of(question, kept, baseline, at_once)
    return jax.lax.map(
        lambda kept: deleted(question, kept).value(), kept, batch_size=min(at_once, kept.shape[0])
    )


def deleted(question: Question, kept: Bool[Array, "B T"]) -> Question:
    """Returns the question about the kept tokens alone, in their order; positions count anew."""
    there = kept & question.present
    count = there.sum(1)
    of_source = question.stack == "decoder"
    tokens = closed_up(question.tokens, there)
    inputs = tuple(tokens if i == question.slot else x for i, x in enumerate(question.inputs))
    if of_source:
        return replace(question, inputs=(tokens, count, *inputs[2:]))
    moved = {name: closed_up(question.options[name], there) for name in _MOVED if name in question.options}
    target = question.target
    if target.place is not None:
        place = jnp.take_along_axis(jnp.cumsum(there, axis=1) - 1, target.place[:, None], axis=1)[:, 0]
        target = replace(target, place=place)
    return replace(question, inputs=inputs, options={**moved, "lengths": count}, target=target)


def closed_up(x: Shaped[Array, "B T"], there: Bool[Array, "B T"]) -> Shaped[Array, "B T"]:
    """Returns rows in which the entries that are there come first, in their order, and then the others."""
    return jnp.take_along_axis(x, jnp.argsort(~there, axis=1, stable=True), axis=1)


def require_removable(question: Question, protected: Bool[np.ndarray, "B T"], removal: str) -> None:
    """Raises InputError where tokens cannot be taken out in this way."""
    choices = get_args(Removal)
    require(removal in choices, f"removal is {removal!r}: expected {' or '.join(map(repr, choices))}")
    present = np.asarray(question.present)
    left = (present & ~protected).any(1)
    require(
        bool(left.all()),
        f"protected: of input {int(np.argmin(left))} no token is left that could be removed",
    )
    if removal == "replace":
        return
    require(
        question.site.endswith(".tokens") and (question.stack != "decoder" or question.slot == 0),
        "removal is 'delete': it is defined for the tokens of a text or of a source, expected 'replace'",
    )
    other = sorted(question.options.keys() - set(_KNOWN))
    require(not other, f"removal is 'delete': {', '.join(other)} of the model would have to move too")
    if question.stack == "decoder":
        read = (protected & present).any(1)
        needed = "a token"
    else:
        # Whatever the target reads has to be there still.
        reader = np.asarray(question.reader)[:, question.first :] > 0
        read = (protected | ~reader).all(1)
        needed = "the token that the target reads"
    require(
        bool(read.all()),
        f"protected: removal 'delete' needs {needed} in it, which input {int(np.argmin(read))} lacks",
    )
