"""Weights on the edges of a graph as a map that the viewer draws as a graph too."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from attnjax.config import require
from attnjax.explain.viewer.contents import AttentionMap

MOST_PLACED = 400
"""Nodes up to which springs place them; more of them stand on a circle."""


def graph_map(
    name: str,
    nodes: Sequence[str],
    source: Int[np.ndarray, " E"],
    target: Int[np.ndarray, " E"],
    weights: Float[np.ndarray, "H E"],
    *,
    places: Float[np.ndarray, "T 2"] | None = None,
) -> AttentionMap:
    """Returns the map of a graph layer, whose node `target` reads of its neighbour `source`.

    Args:
      name: the path of the layer.
      nodes: their names.
      source: the node of each edge that is looked at.
      target: the node of each edge that looks.
      weights: of head and edge; those of edges between the same nodes are added.
      places: x and y of each node, in any unit; None: neighbours are put beside each other.

    Raises:
      InputError: Shapes do not fit, or there is no such node.

    Example:
      >>> edges = np.array([0, 1]), np.array([1, 2])
      >>> graph_map("blocks.0.attention", "abc", *edges, np.ones((1, 2))).weights[0].tolist()
      [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    source, target, weights = np.asarray(source), np.asarray(target), np.asarray(weights)
    shapes = [list(x.shape) for x in (source, target, weights)]
    require(
        source.ndim == 1 and source.shape == target.shape == weights.shape[1:],
        f"{name}: source {shapes[0]}, target {shapes[1]}, weights {shapes[2]}: expected (E,), (E,), (H, E)",
    )
    for word, ends in (("source", source), ("target", target)):
        inside = bool(((ends >= 0) & (ends < len(nodes))).all())
        require(inside, f"{name}: {word} names a node that is none of {len(nodes)}")
    dense = np.zeros((len(weights), len(nodes), len(nodes)))
    for head, own in zip(dense, weights, strict=True):
        np.add.at(head, (target, source), own)
    if places is None:
        placed = _sprung(len(nodes), source, target)
    else:
        require(
            np.shape(places) == (len(nodes), 2), f"{name}: places {list(np.shape(places))}: expected (T, 2)"
        )
        placed = np.asarray(places, float)
    low, extent = placed.min(axis=0), np.ptp(placed, axis=0).max() or 1.0
    edges = np.stack([target, source], axis=1)
    return AttentionMap(name, nodes, nodes, dense, edges=edges, places=(placed - low) / extent)


def _sprung(
    nodes: int, source: Int[np.ndarray, " E"], target: Int[np.ndarray, " E"]
) -> Float[np.ndarray, "T 2"]:
    """Returns places by Fruchterman and Reingold, 1991: neighbours attract, all nodes repel each other."""
    angles = 2 * math.pi * np.arange(nodes) / nodes
    at = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    if nodes > MOST_PLACED:
        return at
    joined = np.zeros((nodes, nodes))
    joined[source, target] = joined[target, source] = 1.0
    ideal = 2.0 / math.sqrt(nodes)
    for heat in np.linspace(0.3, 0.005, 150):
        apart = at[:, None] - at[None]
        distance = np.maximum(np.linalg.norm(apart, axis=-1), 1e-3)
        force = ideal**2 / distance**2 - joined * distance / ideal
        step = (apart * force[..., None]).sum(axis=1)
        length = np.maximum(np.linalg.norm(step, axis=-1, keepdims=True), 1e-9)
        at = at + step / length * np.minimum(length, heat)
    return at
