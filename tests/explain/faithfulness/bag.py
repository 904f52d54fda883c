"""A bag of tokens whose number is known in closed form: f = Σ w_t + Σ J_st over the tokens that are there."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attnjax.explain import Question, Target


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Bag(Question):
    """A question about such a bag; each id stands for a vector that has a 1 in its place."""

    single: Any = field(default=None, kw_only=True)
    pairs: Any = field(default=None, kw_only=True)

    def vectors(self):
        lengths = self.options.get("lengths")
        there = self.present if lengths is None else jnp.arange(self.tokens.shape[1]) < lengths[:, None]
        return jax.nn.one_hot(self.tokens, len(self.single)) * there[..., None]

    def value_of(self, vectors):
        counts = vectors.sum(1)
        return counts @ self.single + jnp.einsum("bv,vw,bw->b", counts, self.pairs, counts)

    def value(self, write=None):
        return self.value_of(self.vectors())


def bag(tokens, lengths, single, pairs=None) -> Bag:
    tokens = jnp.asarray(tokens)
    present = jnp.arange(tokens.shape[1]) < jnp.asarray(lengths)[:, None]
    single = jnp.asarray(single, jnp.float32)
    pairs = jnp.zeros((len(single),) * 2) if pairs is None else jnp.asarray(pairs, jnp.float32)
    return Bag(
        graph=None,
        params={},
        inputs=(tokens,),
        options={"lengths": jnp.asarray(lengths)},
        target=Target(0),
        present=present,
        reader=jax.nn.one_hot(jnp.zeros(len(tokens), int), tokens.shape[1]),
        site="embedding.tokens",
        stack="blocks",
        layers=1,
        single=single,
        pairs=pairs,
    )


ARRAYS: dict[int, tuple[np.ndarray, ...]] = {}


def plain(key: int, question: Bag) -> tuple[np.ndarray, ...]:
    """Its arrays in NumPy, which are quick to index."""
    if key not in ARRAYS:
        parts = (question.single, question.pairs)
        ARRAYS[key] = (np.asarray(question.tokens), *(np.asarray(x, np.float64) for x in parts))
    return ARRAYS[key]


def number(question: Bag, row: int, kept) -> float:
    """The number of an input with only these places, in float64."""
    tokens, single, pairs = plain(id(question), question)
    counts = np.zeros(len(single))
    for place in kept:
        counts[tokens[row, place]] += 1
    return float(counts @ single + counts @ pairs @ counts)
