"""The config of models of graphs, free of jax."""

from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

from attnjax.config import require
from attnjax.mechanisms import Choice, read
from attnjax.models.block_config import BlockConfig, Positions
from attnjax.models.checks import require_choice, require_pooling, require_positive
from attnjax.models.encoder_config import require_two_sided

Head = Literal["graph", "nodes"]
POOLING = ("mean", "sum")


@dataclass(frozen=True)
class GraphConfig(BlockConfig):
    """The settings of an encoder of graphs, whose tokens are nodes."""

    takes = ("graph", "tokens")

    mechanism: str = "gatv2"
    """Attention along edges, or of all nodes: gatv2, gat+graphormer; softmax and fnet know of no edges."""
    positions: Positions = "none"
    """Nodes have no order, so that there are none."""
    layers: int = 2
    """Blocks of the model: a node of gat sees what is so many edges away."""
    node_features: int | None = None
    """Numbers that a node holds; None: it is of one of several kinds."""
    edge_features: int | None = None
    """Numbers that an edge holds; None: nothing. Layers along edges read them."""
    pooling: str = "mean"
    """The vector of a graph: the mean of its nodes, their sum, which counts, or a mechanism: pma."""
    head: Head = "graph"
    """The vectors that have labels: that of the graph, or each node's."""
    labels: int | None = None
    """Labels that a head tells apart; None: there is no head."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive("layers", self.layers)
        for name in ("node_features", "edge_features", "labels"):
            if getattr(self, name) is not None:
                require_positive(name, getattr(self, name))
        require(
            self.positions == "none",
            f"model.positions is {self.positions!r}: nodes have no order, expected none",
        )
        require_choice("head", self.head, get_args(Head))
        require_pooling(self, POOLING)
        require_two_sided(self)
        for choice in read(self.mechanism):
            self._require_edges_fit(choice)

    def _require_edges_fit(self, choice: Choice) -> None:
        """Raises InputError where a layer has no place for what edges hold, or another width of it."""
        row, width = choice.row, self.edge_features
        require(
            row.takes != "graph" or width is None or "edge_dim" in row.options,
            f"model.edge_features is {width}: {row.name} reads nothing that edges hold; expected None",
        )
        given = choice.options.get("edge_dim")
        require(
            given in (None, width),
            f"model.mechanism is {self.mechanism!r}: edge_dim is {given}, and model.edge_features {width}",
        )

    def filled(self) -> Self:
        """Returns the config with what others say in the place of None, and the width of what edges hold."""
        if self.edge_features is None:
            return super().filled()
        layers = " + ".join(str(_with_edges(choice, self.edge_features)) for choice in read(self.mechanism))
        return replace(super().filled(), mechanism=layers)


def _with_edges(choice: Choice, width: int) -> Choice:
    if "edge_dim" not in choice.row.options:
        return choice
    (part,) = choice.parts
    options: dict[str, Any] = {**part.options, "edge_dim": width}
    return Choice((replace(part, options=options),))
