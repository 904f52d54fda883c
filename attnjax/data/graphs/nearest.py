"""Graphs with coloured nodes: which colour is nearest to a node?"""

import numpy as np

from attnjax.data.graphs.config import NearestData
from attnjax.data.synthetic.questions import AS_TRAINED, NOT_ASKED, Arrays, Split

LARGER = "1.5 times as many nodes"


class Nearest:
    """Random graphs in which one node has each of a few colours; the others are asked which is nearest.

    Pairs of nodes are drawn evenly and joined both ways; a pair of one node is padding. A node of a colour is
    of kind 1 … C, any other of kind 0. The answer of a node is the colour, from 0, that is the fewest edges
    away; nothing is asked of nodes with a colour, of those that two colours are nearest to, and of those that
    all colours are more than `reach` edges from. In the second setting graphs are larger by half.

    >>> made = Nearest(NearestData(nodes=8, edges=6, colours=2)).rows(1, np.random.default_rng(1))
    >>> made["nodes"].tolist(), made["answers"].tolist()
    ([[0, 2, 0, 1, 0, 0, 0, 0]], [[0, -1, 0, -1, 1, 0, -1, -1]])
    >>> made["edges"][0, :, :6].tolist()
    [[5, 0, 5, 1, 2, 4], [2, 3, 0, 4, 3, 1]]
    """

    settings = (AS_TRAINED, LARGER)

    def __init__(self, config: NearestData) -> None:
        self.config = config

    @property
    def labels(self) -> int:
        """The number of colours."""
        return self.config.colours

    @property
    def kinds(self) -> int:
        """The number of kinds of nodes."""
        return self.config.colours + 1

    def rows(
        self, count: int, rng: np.random.Generator, setting: str = AS_TRAINED, part: Split = Split.TRAIN
    ) -> Arrays:
        """Returns "nodes" and "answers" [count, V], "edges" [count, 2, E] and "lengths" [count], int32."""
        config = self.config
        nodes, pairs = config.nodes, config.edges
        if setting == LARGER:
            nodes, pairs = nodes * 3 // 2, pairs * 3 // 2
        lengths = rng.integers(nodes // 2, nodes, count, endpoint=True)
        ends = (rng.random((count, 2, pairs)) * lengths[:, None, None]).astype(np.int32)
        edges = np.concatenate([ends, ends[:, ::-1]], axis=-1)
        edges = np.where(edges[:, :1] == edges[:, 1:], -1, edges)
        # The first few nodes of a graph in a random order.
        coloured = np.argsort(rng.random((count, nodes // 2)), axis=-1)[:, : config.colours]
        kinds = np.zeros((count, nodes), np.int32)
        np.put_along_axis(kinds, coloured, np.arange(1, config.colours + 1, dtype=np.int32)[None], axis=-1)
        answers = _nearest(edges, coloured, nodes, config.reach)
        answers = np.where((kinds > 0) | (np.arange(nodes) >= lengths[:, None]), NOT_ASKED, answers)
        made = {"nodes": kinds, "answers": answers, "edges": edges, "lengths": lengths}
        return {name: array.astype(np.int32) for name, array in made.items()}


def _nearest(edges: np.ndarray, coloured: np.ndarray, nodes: int, reach: int) -> np.ndarray:
    """Returns the only nearest colour of each node, and `NOT_ASKED` where there is none within reach."""
    count = len(edges)
    joined = np.zeros((count, nodes, nodes), np.int32)
    graph, place = np.nonzero(edges[:, 0] >= 0)
    joined[graph, edges[graph, 1, place], edges[graph, 0, place]] = 1
    reached = np.zeros((count, nodes, coloured.shape[1]), np.int32)
    np.put_along_axis(reached, coloured[:, None], 1, axis=1)
    answers = np.full((count, nodes), NOT_ASKED)
    found = reached.any(-1)
    for _ in range(reach):
        reached = np.minimum(reached + joined @ reached, 1)
        new = reached.any(-1) & ~found
        alone = new & (reached.sum(-1) == 1)
        answers = np.where(alone, reached.argmax(-1), answers)
        found |= new
    return answers
