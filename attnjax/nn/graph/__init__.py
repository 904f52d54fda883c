"""Layers over the nodes of graphs, whose edges the caller gives."""

from attnjax.nn.graph.gat import GAT, GATv2
from attnjax.nn.graph.graphormer import Graphormer
from attnjax.nn.graph.transformer import GraphTransformer

__all__ = ["GAT", "GATv2", "GraphTransformer", "Graphormer"]
