"""Settings of graphs that are drawn. Free of jax and numpy."""

from dataclasses import dataclass

from attnjax.config import require_seed
from attnjax.data.synthetic.config import require_whole


@dataclass(frozen=True)
class NearestData:
    """Random graphs with a few coloured nodes: which colour is nearest?"""

    nodes: int = 16
    """The most nodes of a graph; it has half of them at least."""
    edges: int = 20
    """Pairs of nodes that are drawn, and joined both ways."""
    colours: int = 4
    """Colours, of each of which there is one node."""
    reach: int = 2
    """Edges up to which a colour is asked for."""
    evaluation_examples: int = 512
    """Graphs of each row of the final table."""
    seed: int = 0
    """Decides all graphs; those of training, validation and test have streams of their own."""

    def __post_init__(self) -> None:
        for name in ("edges", "reach", "evaluation_examples"):
            require_whole(name, getattr(self, name), 1)
        require_whole("colours", self.colours, 2)
        require_whole("nodes", self.nodes, 4 * self.colours)
        require_seed("data.seed", self.seed)
