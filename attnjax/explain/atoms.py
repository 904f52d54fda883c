"""Atom mapping: which head of a model of reactions looks from each atom of the product to where it came from.

RXNMapper found that attention of a masked language model of reaction SMILES does so without being told
(Schwaller et al., Extraction of organic chemistry grammar from unsupervised learning of chemical reactions,
2021, doi:10.1126/sciadv.abe4166). `mapping_heads` finds the head again, by the elements alone.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from attnjax.config import require
from attnjax.explain.question import ask
from attnjax.explain.target import Target

_TOKEN = re.compile(r"\[[^]]+]|Br|Cl|>>|%\d\d|.")
_ATOM = re.compile(r"\[\d*([A-Z][a-z]?|[a-z]{1,2})|(Br|Cl|[BCNOPSFI]|[bcnops])$")


@dataclass(frozen=True)
class Reaction:
    """A reaction as its tokens.

    Attributes:
      tokens: with those of start and end.
      elements: the element of each token, "" where it is no atom.
      arrow: the place of ">>": atoms before it are of reactants, those after it of the product.

    Example:
      >>> read = Reaction.read("CCl.[OH-]>>CO")
      >>> read.elements
      ['', 'C', 'Cl', '', 'O', '', 'C', 'O', '']
      >>> read.reactants.tolist(), read.products.tolist()
      ([1, 2, 4], [6, 7])
    """

    tokens: list[str]
    elements: list[str]
    arrow: int

    @classmethod
    def read(cls, smiles: str) -> "Reaction":
        """Returns the reaction of a reaction SMILES.

        Raises:
          InputError: there is not just one ">>", or no atom on one side of it.
        """
        tokens = ["[CLS]", *_TOKEN.findall(smiles), "[SEP]"]
        require(tokens.count(">>") == 1, f"reaction {smiles!r}: expected reactants>>product")
        ends = (0, len(tokens) - 1)
        elements = ["" if i in ends else _element(token) for i, token in enumerate(tokens)]
        found = cls(tokens, elements, tokens.index(">>"))
        both = len(found.reactants) > 0 and len(found.products) > 0
        require(both, f"reaction {smiles!r}: expected atoms on both sides of >>")
        return found

    @property
    def reactants(self) -> np.ndarray:
        """The places of the atoms before the arrow."""
        return np.array([i for i, x in enumerate(self.elements) if x and i < self.arrow])

    @property
    def products(self) -> np.ndarray:
        """The places of the atoms after it."""
        return np.array([i for i, x in enumerate(self.elements) if x and i > self.arrow])

    def mapped(self, weights: Float[np.ndarray, "T S"]) -> dict[int, int]:
        """Returns the place of the atom before the arrow that each atom after it attends to most."""
        best = weights[np.ix_(self.products, self.reactants)].argmax(1)
        return dict(zip(self.products.tolist(), self.reactants[best].tolist(), strict=True))

    def score(self, weights: Float[np.ndarray, "T S"]) -> float:
        """Returns the share of atoms that are mapped to one of their element which no other is mapped to."""
        found = self.mapped(weights)
        sources = list(found.values())
        right = [
            self.elements[after] == self.elements[before] and sources.count(before) == 1
            for after, before in found.items()
        ]
        return float(np.mean(right))


def mapping_heads(model: Any, reactions: Sequence[str], vocab: Mapping[str, int]) -> Float[np.ndarray, "L N"]:
    """Returns the mean score of each head as a map of atoms, by elements and one to one.

    Nothing of a known mapping goes in. A head whose atoms look at others of their element by chance has a low
    score, as most of them look at the same few.

    Args:
      model: an `Encoder` of reactions, from `from_pretrained`.
      reactions: reaction SMILES; they are read as one batch.
      vocab: the ids of the tokens, with [PAD], [CLS] and [SEP].

    Raises:
      InputError: a reaction is none, or has a token that the vocabulary lacks.
    """
    read = [Reaction.read(reaction) for reaction in reactions]
    weights = attention_maps(model, read, vocab)
    size = [len(each.tokens) for each in read]
    layers, _, heads = weights.shape[:3]
    scores = np.zeros((layers, heads))
    for layer, head in np.ndindex(layers, heads):
        each = (
            reaction.score(weights[layer, row, head, : size[row], : size[row]])
            for row, reaction in enumerate(read)
        )
        scores[layer, head] = np.mean(list(each))
    return scores


def attention_maps(
    model: Any, reactions: Sequence[Reaction], vocab: Mapping[str, int]
) -> Float[np.ndarray, "L B N T T"]:
    """Returns the weights of all layers and heads.

    Args:
      model: an `Encoder` of reactions.
      reactions: as they are read.
      vocab: the ids of the tokens.

    Raises:
      InputError: the vocabulary lacks a token.
    """
    missing = sorted({token for each in reactions for token in each.tokens if token not in vocab})
    require(not missing, f"vocab: it lacks {', '.join(missing)}")
    lengths = np.array([len(each.tokens) for each in reactions])
    ids = np.full((len(reactions), lengths.max()), vocab["[PAD]"], np.int32)
    for row, each in zip(ids, reactions, strict=True):
        row[: len(each.tokens)] = [vocab[token] for token in each.tokens]
    question = ask(model, jnp.asarray(ids), lengths=jnp.asarray(lengths), target=Target(0, place=0))
    return np.asarray(_weights(question))


@jax.jit
def _weights(question: Any) -> Float[jax.Array, "L B N T T"]:
    paths = [f"{path}.weights" for path in question.attention_layers()]
    found = question.read(*paths)
    return jnp.stack([found[path] for path in paths])


def _element(token: str) -> str:
    found = _ATOM.match(token)
    return (found[1] or found[2]).capitalize() if found else ""
