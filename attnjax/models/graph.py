"""The encoder of graphs."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.config import require
from attnjax.models.factory import Parts
from attnjax.models.graph_config import GraphConfig
from attnjax.models.output import Captured, EncoderOutput
from attnjax.models.padding import Present, key_mask, require_present
from attnjax.models.pooling import mean, pooled, total
from attnjax.models.stack import through
from attnjax.nn import Dropout, folded
from attnjax.nn.layouts import Graph
from attnjax.nn.taps import Asked, tapped, within


class GraphModel(nnx.Module):
    """A stack of blocks over the nodes of a graph.

    Its state is `nnx.Param`s only. The padding of a batch does not matter: nodes after the `lengths` of their
    graph, and edges with a negative end. Small graphs may share a row (`segments`), so that there is little
    of it.

    Args:
      config: its shape.
      kinds: the number of kinds of nodes; None where they hold numbers.

    Raises:
      InputError: Kinds are missing, or given where the config has `node_features`.

    References:
      Veličković et al., Graph Attention Networks, 2018, arXiv:1710.10903.
      Dwivedi & Bresson, A Generalization of Transformer Networks to Graphs, 2021, arXiv:2012.09699.

    Example:
      >>> model = GraphModel(GraphConfig(dim=8, labels=3), kinds=5, rngs=nnx.Rngs(0))
      >>> edges = jnp.array([[[0, 1], [1, 2]]] * 2)  # 0 → 1 → 2
      >>> output = model(jnp.ones((2, 3), int), edges)
      >>> output.states.shape, output.logits.shape
      ((2, 3, 8), (2, 3))
    """

    def __init__(self, config: GraphConfig, *, kinds: int | None = None, rngs: nnx.Rngs) -> None:
        require(
            (kinds is None) != (config.node_features is None),
            f"kinds is {kinds} and model.node_features {config.node_features}: expected one of the two",
        )
        self.config = config
        parts = Parts(config, rngs)
        self.embedding = nnx.data(None if kinds is None else parts.embedding(kinds))
        features = config.node_features
        self.of_features = nnx.data(None if features is None else parts.dense(config.dim, features))
        self.blocks = parts.stack(lambda i: parts.encoder_block(i, config.layers), config.layers)
        self.norm = parts.read_out()
        self.pool = parts.pool(config.pooling)
        self.head = None if config.labels is None else parts.output(config.labels)

    def __call__(
        self,
        nodes: Int[Array, "B V"] | Float[Array, "B V C"],
        edges: Int[Array, "B 2 E"],
        *,
        edge_features: Float[Array, "B E F"] | None = None,
        lengths: Int[Array, " B"] | None = None,
        segments: Int[Array, "B V"] | None = None,
        graphs: int = 1,
        dropout: Dropout | None = None,
        capture: Asked = None,
    ) -> EncoderOutput:
        """Returns the vectors of the nodes, that of the graph, and what the head makes of them.

        Where several graphs stand in a row, edges have the places of their nodes there, and `pooled` is
        [B, G, D]: a vector for each graph, 0 of one without nodes.

        Args:
          nodes: the kinds of the nodes, or what they hold.
          edges: for each edge the node that is read and the node that reads; those with a negative end are
            padding.
          edge_features: what the edges hold, where the config says so.
          lengths: the number of each graph's nodes, after which there is padding; None: all.
          segments: where several graphs stand in a row, the number from 1 of the one that each node is of, 0
            for padding; in the place of lengths.
          graphs: G, in a row with segments.
          dropout: of embeddings, weights and layers.
          capture: the weights to return, by the path of their layer ("blocks.1.attention"; of edges
            [B, N, E]), and the vectors ("embedding", "blocks.1", "norm"); or `Taps`.

        Raises:
          TypeError: The edges are not integers.
          ValueError: Shapes do not fit, a capture is out of range, or both lengths and segments are given.
        """
        self._require_fit(nodes, edges, edge_features)
        if lengths is not None and segments is not None:
            raise ValueError("lengths and segments: expected one of the two")
        present = lengths if segments is None else segments
        if present is not None:
            require_present("lengths" if segments is None else "segments", present, nodes.shape[:2])
        captured = Captured(capture, "blocks")
        x = self._embedded(nodes, captured)
        x = x if dropout is None else dropout.fold("embedding")(x)
        states = through(
            self.blocks,
            self.norm,
            x,
            mask=None if present is None else key_mask(present),
            dropout=dropout,
            captured=captured,
            remat=self.config.recomputes,
            layout=Graph(edges, edge_features, lengths, segments),
        )
        if segments is None:
            of_graph = self._pooled(states, lengths, captured)
        else:
            # A row for each graph, in which all nodes but its own are padding.
            own = segments[:, None] == jnp.arange(1, graphs + 1)[:, None]
            rows = jnp.repeat(states, graphs, axis=0)
            of_graph = self._pooled(rows, own.reshape(rows.shape[:2]), captured)
            of_graph = of_graph.reshape(len(states), graphs, -1)
        logits = None
        if self.head is not None:
            read = of_graph if self.config.head == "graph" else states
            dropout = folded(dropout, "head")
            logits = self.head(read if dropout is None else dropout(read))
            logits = tapped(captured.sites, "logits", logits)
        return EncoderOutput(states, of_graph, logits, None, captured.weights, captured.hidden, captured.taps)

    def _pooled(
        self, states: Float[Array, "R V D"], present: Present | None, captured: Captured
    ) -> Float[Array, "R D"]:
        if self.pool is None:
            return (total if self.config.pooling == "sum" else mean)(states, present)
        return pooled(self.pool, states, present, captured)

    def _embedded(self, nodes: Array, captured: Captured) -> Float[Array, "B V D"]:
        if self.embedding is not None:
            return self.embedding(nodes, taps=within(captured.sites, "embedding"))
        assert self.of_features is not None
        return tapped(captured.sites, "embedding.nodes", self.of_features(nodes))

    def _require_fit(self, nodes: Array, edges: Array, edge_features: Array | None) -> None:
        width = self.config.node_features
        whole = jnp.issubdtype(nodes.dtype, jnp.integer)
        fits = nodes.ndim == 2 and whole if width is None else nodes.ndim == 3 and nodes.shape[-1] == width
        if not fits:
            expected = "integers (B, nodes)" if width is None else f"(B, nodes, {width})"
            raise ValueError(f"nodes {nodes.dtype}{list(nodes.shape)}: expected {expected}")
        if not jnp.issubdtype(edges.dtype, jnp.integer):
            raise TypeError(f"edges {edges.dtype}: expected integers")
        if edges.ndim != 3 or edges.shape[:2] != (len(nodes), 2):
            raise ValueError(f"edges {list(edges.shape)}: expected ({len(nodes)}, 2, edges)")
        held = self.config.edge_features
        shape = None if edge_features is None else edge_features.shape
        expected_shape = None if held is None else (len(nodes), edges.shape[-1], held)
        if shape != expected_shape:
            raise ValueError(f"edge_features {shape}: expected {expected_shape}")
