"""Attention along the edges of graphs: a softmax over the edges that end at one node, on lists of edges."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from attnjax.ops.core.checks import array, floats, positions
from attnjax.ops.core.dtypes import accumulation_dtype


class Edges(NamedTuple):
    """The edges of all graphs of a batch as those of one graph, as `flat_edges` returns them.

    Attributes:
      sources, targets: int32 [B·E], the nodes in [0, B·V).
      real: [B·E], False for padding.
      wrong: [B·E], True where an edge ends at a node that there is not.
      nodes: B·V.
    """

    sources: Int[Array, " E"]
    targets: Int[Array, " E"]
    real: Bool[Array, " E"]
    wrong: Bool[Array, " E"]
    nodes: int


def flat_edges(edges: Int[Array, "*B 2 E"], nodes: int, *, mask: Bool[Array, "*B E"] | None = None) -> Edges:
    """Returns the edges of a batch of graphs as those of one graph without edges between them.

    Args:
      edges: for each edge the node that is read and the node that reads, in [0, V). Edges with a negative
        end are padding.
      nodes: V, of each graph.
      mask: False for edges that are left out, beside padding.

    Raises:
      TypeError: The edges are not integers.
      ValueError: Shapes do not fit, or an edge ends at a node that there is not. Where the edges are traced,
        `edge_weights` are NaN then.

    Example:
      >>> flat = flat_edges(jnp.array([[[0, 1], [1, 1]], [[2, -1], [0, -1]]]), 3)
      >>> flat.sources.tolist(), flat.targets.tolist(), flat.real.tolist()
      ([0, 1, 5, 3], [1, 1, 3, 5], [True, True, True, False])
    """
    edges = positions("edges", edges)
    if edges.ndim < 2 or edges.shape[-2] != 2:
        raise ValueError(f"edges {list(edges.shape)}: expected (*B, 2, E), sources and targets")
    if not isinstance(edges, jax.core.Tracer) and edges.size:
        # By NumPy: under a trace an operation of jax would give a tracer for known edges too.
        last = int(np.max(np.asarray(edges)))
        if last >= nodes:
            raise ValueError(f"edges name node {last}: there are {nodes}, counted from 0")
    batch, count = edges.shape[:-2], edges.shape[-1]
    real = there = (edges >= 0).all(-2)
    if mask is not None:
        mask = array("mask", mask)
        if mask.dtype != bool or mask.shape != real.shape:
            raise ValueError(f"mask {mask.dtype}{list(mask.shape)}: expected bool {list(real.shape)} (*B, E)")
        real = there & mask
    wrong = real & (edges >= nodes).any(-2)
    # Padding reads node 0 and ends at the last one: at the end of sorted edges it leaves them sorted. What
    # the mask leaves out stays where it stands.
    ends = jnp.where(there[..., None, :], edges, jnp.array([[0], [nodes - 1]], jnp.int32))
    first = nodes * jnp.arange(math.prod(batch), dtype=jnp.int32)
    ends = jnp.minimum(ends, nodes - 1).reshape(len(first), 2, count) + first[:, None, None]
    sources, targets, real, wrong = (x.reshape(-1) for x in (ends[:, 0], ends[:, 1], real, wrong))
    return Edges(sources, targets, real, wrong, nodes * len(first))


def edge_weights(
    scores: Float[Array, "E N"], edges: Edges, *, is_sorted: bool = False
) -> Float[Array, "E N"]:
    """Returns the weights of the edges among those that end at the same node: exp(s_e) / Σ_e' exp(s_e').

    They stand in the order of the edges; padding weighs 0.

    Args:
      scores: of each edge and head.
      edges: from `flat_edges`.
      is_sorted: a promise that targets do not fall, which some backends use.

    Raises:
      TypeError: The scores are not floating point.
      ValueError: There are not as many scores as edges.

    References:
      Veličković et al., Graph Attention Networks, 2018, arXiv:1710.10903.

    Example:
      >>> edges = flat_edges(jnp.array([[0, 1, 2], [2, 2, 0]]), 3)
      >>> edge_weights(jnp.zeros((3, 1)), edges)[:, 0].tolist()
      [0.5, 0.5, 1.0]
    """
    scores = floats("scores", scores)
    if scores.ndim != 2 or len(scores) != len(edges.targets):
        raise ValueError(f"scores {list(scores.shape)}: expected (E, N), E is {len(edges.targets)}")
    scores = jnp.where(edges.wrong[:, None], jnp.nan, scores)
    return segment_softmax(scores, edges.targets, edges.nodes, mask=edges.real, is_sorted=is_sorted)


def gathered(
    weights: Float[Array, "E N"], messages: Float[Array, "E N V"], edges: Edges, *, is_sorted: bool = False
) -> Float[Array, "M N V"]:
    """Returns for each node the sum of the messages of the edges that end at it, times their weights.

    A node at which no edge ends has 0. Whatever the messages of padding hold, they reach none.

    Args:
      weights: of each edge and head.
      messages: of each edge and head.
      edges: from `flat_edges`.
      is_sorted: a promise that targets do not fall.

    Example:
      >>> edges = flat_edges(jnp.array([[0, 1, -1], [1, 1, 0]]), 2)
      >>> gathered(jnp.full((3, 1), 0.5), jnp.array([2.0, 4, 9])[:, None, None], edges)[:, 0, 0].tolist()
      [0.0, 3.0]
    """
    messages = jnp.where(edges.real[:, None, None], messages, 0)
    weighed = weights[..., None].astype(messages.dtype) * messages
    return jax.ops.segment_sum(weighed, edges.targets, edges.nodes, indices_are_sorted=is_sorted)


def segment_softmax(
    scores: Float[Array, "E N"],
    segments: Int[Array, " E"],
    count: int,
    *,
    mask: Bool[Array, " E"] | None = None,
    is_sorted: bool = False,
) -> Float[Array, "E N"]:
    """Returns the softmax of scores over those of the same segment, in float32 or better.

    Args:
      scores: of any size; -inf is masked. A segment of nothing else weighs 0.
      segments: of each score, in [0, count).
      count: the number of segments.
      mask: False for scores that are left out.
      is_sorted: a promise that segments do not fall.

    Example:
      >>> weights = segment_softmax(jnp.array([[1e4], [1e4], [-1e4]]), jnp.array([1, 1, 0]), 2)
      >>> weights[:, 0].tolist()
      [0.5, 0.5, 1.0]
    """
    scores = scores.astype(accumulation_dtype(scores))
    if mask is not None:
        scores = jnp.where(mask[:, None], scores, -jnp.inf)
    most = jax.ops.segment_max(jax.lax.stop_gradient(scores), segments, count, indices_are_sorted=is_sorted)
    shifted = scores - jnp.where(jnp.isneginf(most), 0, most)[segments]
    # exp of -inf has the gradient 0·inf where it stands inside; outside it never runs.
    powers = jnp.where(jnp.isneginf(shifted), 0, jnp.exp(jnp.where(jnp.isneginf(shifted), 0, shifted)))
    total = jax.ops.segment_sum(powers, segments, count, indices_are_sorted=is_sorted)
    return powers / jnp.where(total == 0, 1, total)[segments]


def with_self_loops(edges: Int[Array, "*B 2 E"], nodes: int) -> Int[Array, "*B 2 E+V"]:
    """Returns the edges and after them one from each node to itself, which no layer adds by itself.

    Example:
      >>> with_self_loops(jnp.array([[0], [1]]), 2).tolist()
      [[0, 0, 1], [1, 0, 1]]
    """
    edges = positions("edges", edges)
    loops = jnp.broadcast_to(jnp.arange(nodes, dtype=jnp.int32), (*edges.shape[:-1], nodes))
    return jnp.concatenate([edges, loops], axis=-1)


def adjacency(
    edges: Int[Array, "*B 2 E"], nodes: int, *, mask: Bool[Array, "*B E"] | None = None
) -> Bool[Array, "*B V V"]:
    """Returns whether an edge leads from node j to node i, at [i, j].

    Example:
      >>> adjacency(jnp.array([[0, 1], [1, 2]]), 3).astype(int).tolist()
      [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    """
    flat = flat_edges(edges, nodes, mask=mask)
    counts = (
        jnp.zeros((flat.nodes, nodes), jnp.int32)
        .at[flat.targets, flat.sources % nodes]
        .add(flat.real.astype(jnp.int32))
    )
    return (counts > 0).reshape(*np.shape(edges)[:-2], nodes, nodes)


def path_lengths(joined: Bool[Array, "*B V V"], most: int) -> Int[Array, "*B V V"]:
    """Returns the number of edges on the shortest path from node j to node i, at [i, j].

    Args:
      joined: from `adjacency`.
      most: paths longer than this, and pairs without a path, are `most` + 1.

    Example:
      >>> path_lengths(adjacency(jnp.array([[0, 1], [1, 2]]), 3), 5).tolist()
      [[0, 6, 6], [1, 0, 6], [2, 1, 0]]
    """
    step = joined.astype(jnp.float32)
    reached = jnp.broadcast_to(jnp.eye(joined.shape[-1], dtype=bool), joined.shape)
    lengths = jnp.where(reached, 0, most + 1)

    def further(distance: Array, both: tuple[Array, Array]) -> tuple[Array, Array]:
        reached, lengths = both
        now = reached | (step @ reached.astype(jnp.float32) > 0)
        return now, jnp.where(now & ~reached, distance, lengths)

    return jax.lax.fori_loop(1, most + 1, further, (reached, lengths))[1]
