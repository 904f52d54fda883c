"""The graph attention of `benchmarks/tasks.py` in plain PyTorch, with its loss on a batch."""

from typing import Any

import torch
from _task_peers import NORM_EPS, FeedForward, Given, Peer
from torch import nn
from torch.nn import functional


class GATv2(nn.Module):
    """GATv2 over the edges of a batch, gathered and scattered as PyTorch Geometric does."""

    def __init__(self, dim: int, heads: int, edge_dim: int) -> None:
        super().__init__()
        self.source, self.target = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.edge = nn.Linear(edge_dim, dim, bias=False)
        self.vector = nn.Parameter(torch.randn(heads, dim // heads))
        self.bias, self.heads = nn.Parameter(torch.zeros(dim)), heads

    def forward(self, x: torch.Tensor, edges: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        source, target = edges
        messages = self.source(x)[source]
        both = (messages + self.target(x)[target] + self.edge(features)).unflatten(-1, (self.heads, -1))
        scores = (functional.leaky_relu(both, 0.2) * self.vector).sum(-1)
        index = target[:, None].expand_as(scores)
        empty = torch.full((len(x), self.heads), -torch.inf)
        powers = (scores - empty.scatter_reduce(0, index, scores.detach(), "amax")[target]).exp()
        total = torch.zeros(len(x), self.heads).index_add(0, target, powers)
        weighed = (powers / total[target])[..., None] * messages.unflatten(-1, (self.heads, -1))
        return torch.zeros_like(x).index_add(0, target, weighed.flatten(-2)) + self.bias


def solubility(model: dict[str, Any], sizes: dict[str, Any], dropout: float, given: Given) -> Peer:
    """Three blocks of GATv2 over atoms, whose vectors are added up; padding is left out by the loader."""
    segments, values = given["segments"].long(), given["values"].float()
    rows, (real, there) = torch.arange(len(segments))[:, None], (segments > 0, (given["edges"] >= 0).all(1))
    number = torch.full(real.shape, -1)
    number[real] = torch.arange(int(real.sum()))
    row = rows.expand_as(there)[there]
    edges = torch.stack([number[row, given["edges"][:, i][there].long()] for i in (0, 1)])
    atoms, bonds = given["atoms"][real].float(), given["bonds"][there].float()
    of_graph, values = (rows * values.shape[1] + segments - 1)[real], values.flatten()
    dim = model["dim"]

    class GraphBlock(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = GATv2(dim, model["heads"], bonds.shape[1])
            self.feed_forward = FeedForward(dim, model["hidden"], model["activation"])
            self.first, self.second = (nn.LayerNorm(dim, NORM_EPS) for _ in range(2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x + self.attention(self.first(x), edges, bonds)
            return x + self.feed_forward(self.second(x))

    class Molecules(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.of_atoms = nn.Linear(atoms.shape[1], dim)
            self.blocks = nn.ModuleList(GraphBlock() for _ in range(model["layers"]))
            self.norm, self.head = nn.LayerNorm(dim, NORM_EPS), nn.Linear(dim, model["labels"])

        def forward(self) -> torch.Tensor:
            x = self.of_atoms(atoms)
            for block in self.blocks:
                x = block(x)
            pooled = torch.zeros(len(values), dim).index_add(0, of_graph, self.norm(x))
            return self.head(pooled)[:, 0]

    return Molecules(), lambda model: ((model() - values) ** 2).mean()
