"""Attention over the nodes of graphs: along the edges that the caller gives, or biased by them."""

from typing import Any

from attnjax.mechanisms.base import Layer, Paper
from attnjax.mechanisms.option import Option

_EDGES = {
    "edge_dim": Option(None, "width of what the edges hold; None: nothing", least=1),
    "average": Option(False, "heads of width D are averaged, not joined", "bool"),
}
_SLOPE = {"slope": Option(0.2, "slope of the LeakyReLU below 0", "float", least=0)}


def _row(name: str, made: str, formula: str, paper: Paper, **fields: Any) -> Layer:
    fields.setdefault("cost", "O(T·H)")
    target = f"attnjax.nn.graph:{made}"
    return Layer(
        name=name,
        target=target,
        formula=formula,
        paper=paper,
        takes="graph",
        streaming=False,
        **fields,
    )


ROWS = (
    _row(
        "gat",
        "GAT",
        "softmax over the edges j → i of LeakyReLU(a·Wx_j + b·Wx_i + c·Ue_ij), of messages Wx_j",
        Paper("Veličković et al.", 2018, "Graph Attention Networks", "1710.10903"),
        options=_SLOPE | _EDGES,
    ),
    _row(
        "gatv2",
        "GATv2",
        "softmax over the edges j → i of a·LeakyReLU(Wx_j + Rx_i + Ue_ij), of messages Wx_j",
        Paper("Brody et al.", 2022, "How Attentive are Graph Attention Networks?", "2105.14491"),
        options=_SLOPE | _EDGES,
    ),
    _row(
        "graph_transformer",
        "GraphTransformer",
        "softmax over the edges j → i of q_i·(k_j + Ue_ij)/√H, of messages v_j + Ue_ij; + Rx_i",
        Paper(
            "Shi et al.",
            2021,
            "Masked Label Prediction: Unified Message Passing Model for Semi-Supervised Classification",
            "2009.03509",
        ),
        options={"skip": Option(True, "the path around it, Rx_i", "bool"), **_EDGES},
    ),
    _row(
        "graphormer",
        "Graphormer",
        "softmax over all nodes of q_i·k_j/√H + b[d(i, j)], d edges apart; x + z_in[deg] + z_out[deg]",
        Paper(
            "Ying et al.", 2021, "Do Transformers Really Perform Bad for Graph Representation?", "2106.05234"
        ),
        options={
            "distance": Option(8, "edges; paths longer than this share a bias", least=1),
            "degree": Option(64, "edges; nodes with more share a vector; 0: there are none", least=0),
        },
        cost="O(V²·(H + distance·V)) of V nodes,",
    ),
)
