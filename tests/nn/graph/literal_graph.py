"""Graph attention as loops over the edges of one graph, in NumPy and float64."""

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray


def over_edges(
    nodes: int, edges: Array, score: Callable[[int, int, int], Array], message: Callable[[int, int], Array]
) -> tuple[Array, Array]:
    """out[i] = Σ_e w_e·message(j, e) over the edges e from j to i, and the weights [E, N]."""
    scores = np.array([score(j, i, e) for e, (j, i) in enumerate(edges.T)])
    weights = np.zeros_like(scores)
    out = np.zeros((nodes, *message(0, 0).shape))
    for i in range(nodes):
        into = [e for e in range(edges.shape[1]) if edges[1, e] == i]
        for e in into:
            weights[e] = np.exp(scores[e]) / sum(np.exp(scores[other]) for other in into)
            out[i] += weights[e][:, None] * message(edges[0, e], e)
    return out, weights


def leaky(x: Array, slope: float = 0.2) -> Array:
    return np.where(x > 0, x, slope * x)


def of_heads(p: dict[str, Any], x: Array) -> Array:
    return np.einsum("d,dnh->nh", x, p["kernel"]) + p.get("bias", 0)


def gat(p: dict[str, Any], x: Array, edges: Array, features: Array) -> tuple[Array, Array]:
    node, edge, v = (
        (lambda i: of_heads(p["node"], x[i])),
        (lambda e: of_heads(p["edge"], features[e])),
        p["vectors"],
    )

    def score(j: int, i: int, e: int) -> Array:
        parts = v["of_source"] * node(j) + v["of_target"] * node(i) + v["of_edge"] * edge(e)
        return leaky(parts.sum(-1))

    out, weights = over_edges(len(x), edges, score, lambda j, e: node(j))
    return out.reshape(len(x), -1) + p["bias"], weights


def gatv2(p: dict[str, Any], x: Array, edges: Array, features: Array) -> tuple[Array, Array]:
    def score(j: int, i: int, e: int) -> Array:
        both = of_heads(p["source"], x[j]) + of_heads(p["target"], x[i]) + of_heads(p["edge"], features[e])
        return (leaky(both) * p["vector"]).sum(-1)

    out, weights = over_edges(len(x), edges, score, lambda j, e: of_heads(p["source"], x[j]))
    return out.reshape(len(x), -1) + p["bias"], weights


def graph_transformer(p: dict[str, Any], x: Array, edges: Array, features: Array) -> tuple[Array, Array]:
    def score(j: int, i: int, e: int) -> Array:
        key = of_heads(p["key"], x[j]) + of_heads(p["edge"], features[e])
        return (of_heads(p["query"], x[i]) * key).sum(-1) / np.sqrt(key.shape[-1])

    out, weights = over_edges(
        len(x), edges, score, lambda j, e: of_heads(p["value"], x[j]) + of_heads(p["edge"], features[e])
    )
    return out.reshape(len(x), -1) + x @ p["skip"]["kernel"] + p["skip"]["bias"], weights


def graphormer(p: dict[str, Any], x: Array, edges: Array, distance: int) -> tuple[Array, Array]:
    nodes, pairs = len(x), {tuple(edge) for edge in edges.T}
    apart = np.full((nodes, nodes), distance + 1)
    for j in range(nodes):
        found, far = {j}, 0
        while found and far <= distance:
            for i in found:
                apart[i, j] = min(apart[i, j], far)
            found, far = {b for a, b in pairs if a in found and apart[b, j] > distance}, far + 1
    entering = [sum(i == b for _, b in pairs) for i in range(nodes)]
    leaving = [sum(i == a for a, _ in pairs) for i in range(nodes)]
    most = len(p["degrees"]["entering"]) - 1
    x = np.array(
        [
            x[i]
            + p["degrees"]["entering"][min(entering[i], most)]
            + p["degrees"]["leaving"][min(leaving[i], most)]
            for i in range(nodes)
        ]
    )
    a = p["attention"]
    out, weights = np.zeros_like(x), []
    for i in range(nodes):
        keys = np.array([of_heads(a["key"], x[j]) for j in range(nodes)])
        s = (of_heads(a["query"], x[i]) * keys).sum(-1) / np.sqrt(keys.shape[-1]) + p["bias"][apart[i]]
        w = np.exp(s) / np.exp(s).sum(0)
        read = sum(w[j][:, None] * of_heads(a["value"], x[j]) for j in range(nodes))
        out[i] = np.einsum("nh,nhd->d", read, a["out"]["kernel"]) + a["out"]["bias"]
        weights.append(w.T)
    return out, np.moveaxis(np.array(weights), 0, 1)
