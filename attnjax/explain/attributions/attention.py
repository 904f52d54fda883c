"""Methods that read attention weights alone."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.sparse import coo_array
from scipy.sparse.csgraph import maximum_flow

from attnjax.config import require
from attnjax.explain.attributions.attribution import Attribution, method
from attnjax.explain.question import Question, part_of

Maps = Float[Array, "L B R R"]

_UNITS = 2**30
"""Units of flow that stand for a capacity of 1: the largest power of 2 whose sums int32 holds."""


@method("raw", "weights", static=("layer",))
def raw(question: Question, layer: int = -1) -> Attribution:
    """Returns the attention of one layer, the mean of its heads, in the rows that the target reads.

    Args:
      question: from `ask`. In an encoder-decoder the source gets the cross-attention.
      layer: its number; -1 is the last.

    Raises:
      InputError: there is no such layer.
    """
    maps = heads_of(question)
    require(-len(maps) <= layer < len(maps), f"layer is {layer}: there are {len(maps)}")
    return _read(question, "raw", maps[layer])


@method("mean", "weights")
def mean(question: Question) -> Attribution:
    """Returns the attention of all layers, the mean of their heads, in the rows that the target reads."""
    return _read(question, "mean", heads_of(question).mean(0))


@method("rollout", "weights", paper="2005.00928", stacks="one")
def rollout(question: Question) -> Attribution:
    """Returns attention rollout: the product of the layers' (A + I)/2 in the rows that the target reads.

    Reference:
      Abnar & Zuidema, Quantifying Attention Flow in Transformers, 2020, arXiv:2005.00928.
    """
    return _read(question, "rollout", rolled(with_residual(heads_of(question))))


@method("flow", "weights", paper="2005.00928", stacks="one", compiled=False)
def flow(question: Question) -> Attribution:
    """Returns attention flow: the largest flow from each token to the rows read, by edges of (A + I)/2.

    It takes one maximum flow for each token, on the host.

    Reference:
      Abnar & Zuidema, Quantifying Attention Flow in Transformers, 2020, arXiv:2005.00928.
    """
    maps, reader = (np.asarray(x, np.float64) for x in _capacities(question))
    rows = [
        [max_flow(maps[:, b], reader[b], token) for token in range(maps.shape[-1])]
        for b in range(maps.shape[1])
    ]
    scores = _of_tokens(question, jnp.asarray(rows, jnp.float32))
    return Attribution(scores, question.present, "flow")


_of_tokens = jax.jit(Question.mapped)


@jax.jit
def _capacities(question: Question) -> tuple[Maps, Array]:
    return with_residual(heads_of(question)), question.reader


def max_flow(maps: Float[np.ndarray, "L R R"], reader: Float[np.ndarray, " R"], token: int) -> float:
    """Returns the largest flow from the rows read on top, whose shares `reader` are, to a token below.

    Example:
      >>> max_flow(np.array([[[1.0, 0.0], [0.3, 0.7]]]), np.array([0.0, 1.0]), 0)
      0.3
    """
    layers, rows = maps.shape[:2]
    source = (layers + 1) * rows
    level, above, below = np.nonzero(maps > 0)
    # The nodes of level l are what layer l reads.
    start = [(level + 1) * rows + above, np.full(rows, source)]
    end = [level * rows + below, layers * rows + np.arange(rows)]
    room = np.concatenate([maps[level, above, below], reader])
    shape = (source + 1, source + 1)
    units = np.rint(room * _UNITS).astype(np.int32)
    graph = coo_array((units, (np.concatenate(start), np.concatenate(end))), shape=shape).tocsr()
    return float(round(maximum_flow(graph, source, token).flow_value / _UNITS, 9))


def heads_of(question: Question, of: str | None = None) -> Maps:
    """Returns the mean of the heads of each layer [L, B, rows, keys].

    In an encoder-decoder they are those of cross-attention for source tokens, and else of the decoder itself.
    """
    return jnp.stack([w.mean(1) for w in weights_of(question, of)])


def weights_of(question: Question, of: str | None = None) -> list[Float[Array, "B N R R"]]:
    """Returns the weights of each layer, from the lowest."""
    paths = [f"{path}.weights" for path in question.attention_layers(of or part_of(question))]
    found = question.read(*paths)
    return [found[path] for path in paths]


def with_residual(maps: Maps) -> Maps:
    """Returns (A + I)/2 of each layer, with rows that sum to 1."""
    maps = maps + jnp.eye(maps.shape[-1])
    return maps / maps.sum(-1, keepdims=True)


def rolled(maps: Maps) -> Float[Array, "B R R"]:
    """Returns the product of the layers' maps, the lowest on the right."""
    product = maps[0]
    for above in maps[1:]:
        product = above @ product
    return product


def read_rows(question: Question, maps: Float[Array, "B R S"]) -> Float[Array, "B T"]:
    """Returns the rows that the target reads, as scores of the tokens."""
    return question.mapped(jnp.einsum("br,brs->bs", question.reader, maps))


def _read(question: Question, name: str, maps: Float[Array, "B R S"]) -> Attribution:
    return Attribution(read_rows(question, maps), question.present, name)
