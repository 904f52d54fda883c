"""Attacks as in AllenNLP: tokens that turn the answer, and tokens that it does not need."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from attnjax.config import require
from attnjax.explain.attributions.gradients import gradient_at
from attnjax.explain.question import Question
from attnjax.explain.target import Target

_BEAMS = 3


@dataclass(frozen=True)
class Attack:
    """The end of an attack.

    Attributes:
      tokens: the ids.
      changed: the places in the first input that were flipped or taken away, in this order.
      succeeded: whether the answer turned (`hot_flip`), or stayed (`reduce_input`).
    """

    tokens: list[int]
    changed: list[int]
    succeeded: bool


def hot_flip(question: Question, *, ignore: Collection[int] = ()) -> Attack:
    """Returns the input with tokens flipped, one after another, until the model answers otherwise.

    Each step takes the token with the largest gradient of the loss, of those not yet flipped, and puts in its
    place the one whose vector raises the loss most by the first order: argmax_v g·(E_v - E_x).

    Args:
      question: from `ask`, about one input; the loss is that of its target's class.
      ignore: ids of tokens that stay, such as marks at the ends.

    Raises:
      InputError: the question is about several inputs or an image.

    References:
      Ebrahimi et al., HotFlip: White-Box Adversarial Examples, 2017, arXiv:1712.06751.
      Wallace et al., AllenNLP Interpret, 2019, arXiv:1909.09251.
    """
    question = _one(question, "hot_flip")
    table = _table(question)
    tokens = np.asarray(question.tokens)
    open_ = np.asarray(question.present[0]) & ~np.isin(tokens[0], list(ignore))
    flipped: list[int] = []
    answer = int(question.target.index[0])
    gradient, found = _asked(question)
    while open_.any() and found[0] == answer:
        size = np.where(open_, np.square(gradient[0]).sum(-1), -1)
        place = int(size.argmax())
        open_[place] = False
        flipped.append(place)
        tokens = tokens.copy()
        tokens[0, place] = int(np.argmax(table @ gradient[0, place]))
        gradient, found = _asked(question.with_tokens(jnp.asarray(tokens)))
    there = np.asarray(question.present[0])
    return Attack(tokens[0, there].tolist(), flipped, bool(found[0] != answer))


def reduce_input(question: Question, *, ignore: Collection[int] = (), beams: int = _BEAMS) -> Attack:
    """Returns the input without as many tokens as can go while the model answers the same.

    Each step takes away the token with the smallest gradient of the loss; `beams` ways are tried beside each
    other.

    Args:
      question: from `ask`, about one input with `lengths`, or without padding.
      ignore: ids of tokens that stay.
      beams: AllenNLP has 3.

    Raises:
      InputError: the question is about several inputs, an image, or an input with a mask.

    References:
      Feng et al., Pathologies of Neural Models Make Interpretations Difficult, 2018, arXiv:1804.07781.
      Wallace et al., AllenNLP Interpret, 2019, arXiv:1909.09251.
    """
    question = _one(question, "reduce_input")
    require("mask" not in question.options, "reduce_input: expected lengths, a mask came")
    require(question.stack == "blocks", "reduce_input: expected a model of one stack")
    ids = np.asarray(question.tokens[0])
    answer = int(question.target.index[0])
    current = list(range(int(question.present.sum())))
    candidates = [current]
    while len(current) > 1 and candidates:
        beam, candidates = candidates[:beams], []
        gradients, found = _asked(_shortened(question, ids, beam, beams))
        for i, kept in enumerate(beam):
            if found[i] != answer:
                continue
            current = kept
            sizes = np.linalg.norm(gradients[i, : len(kept)], axis=-1)
            sizes[np.isin(ids[kept], list(ignore))] = np.inf
            smallest = [j for j in np.argsort(sizes, kind="stable")[:beams] if np.isfinite(sizes[j])]
            candidates += [kept[:j] + kept[j + 1 :] for j in smallest if len(kept) > 1]
    gone = [i for i in range(int(question.present.sum())) if i not in current]
    return Attack(ids[current].tolist(), gone, True)


def _one(question: Question, name: str) -> Question:
    require(question.site.endswith(".tokens"), f"{name}: expected tokens, the model reads images")
    batch = question.present.shape[0]
    require(batch == 1, f"{name}: {batch} inputs came, expected one")
    return question.with_target(Target(of="loss"))


def _shortened(question: Question, ids: np.ndarray, beam: list[list[int]], beams: int) -> Question:
    """Returns the question about what is left of the input in each beam, all of one shape."""
    rows = np.zeros((beams, len(ids)), ids.dtype)
    lengths = np.ones(beams, np.int32)
    for i, kept in enumerate(beam):
        rows[i, : len(kept)], lengths[i] = ids[kept], len(kept)
    present = np.arange(len(ids)) < lengths[:, None]
    target = question.target
    index = jnp.broadcast_to(target.index, (beams,))
    place = None if target.place is None else jnp.asarray(lengths - 1)
    inputs = tuple(jnp.asarray(rows) if i == question.slot else x for i, x in enumerate(question.inputs))
    return replace(
        question,
        inputs=inputs,
        options=question.options | {"lengths": jnp.asarray(lengths)},
        target=replace(target, index=index, place=place),
        present=jnp.asarray(present),
    )


def _table(question: Question) -> Float[np.ndarray, "V W"]:
    part = getattr(question.model, question.site.removesuffix(".tokens"))
    if part.tokens is None:
        part = question.model.source_embedding
    return np.asarray(part.tokens.embedding[...])


def _asked(question: Question) -> tuple[np.ndarray, np.ndarray]:
    gradient, answer = _gradient(question)
    return np.asarray(gradient), np.asarray(answer)


@jax.jit
def _gradient(question: Question) -> tuple[Float[Array, "B T W"], Int[Array, " B"]]:
    """Returns the gradient of the loss by the tokens' vectors, and what the model answers."""
    _, gradient = gradient_at(question, question.vectors())
    answer: Any = question.target.predicted(question.run().logits)
    return gradient, answer
