"""A small DETR in plain PyTorch, with the Hungarian matching of SciPy as DETR's own code has it."""

from typing import Any

import numpy as np
import torch
from _task_peers import Attention, FeedForward, Given, Peer
from scipy.optimize import linear_sum_assignment
from torch import nn
from torch.nn import functional


class Convolved(nn.Module):
    """A convolution under a norm with frozen statistics."""

    gain: torch.Tensor
    bias: torch.Tensor

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
        for name, value in (("gain", 1.0), ("bias", 0.0)):
            self.register_buffer(name, torch.full((outputs, 1, 1), value))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.convolution(x) * self.gain + self.bias


class Layer(nn.Module):
    """A layer of the encoder, or of the decoder, with norms behind."""

    def __init__(self, model: dict[str, Any], *, crosses: bool) -> None:
        super().__init__()
        dim = model["dim"]
        self.own = Attention(dim, model["heads"])
        self.cross = Attention(dim, model["heads"]) if crosses else None
        self.feed_forward = FeedForward(dim, model["hidden"], "relu")
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3 if crosses else 2))

    def forward(self, x: torch.Tensor, places: torch.Tensor, image: Any = None) -> torch.Tensor:
        x = self.norms[0](x + self.own(x + places, x + places, x))
        if self.cross is not None:
            memory, where = image
            x = self.norms[1](x + self.cross(x + places, memory + where, memory))
        return self.norms[-1](x + self.feed_forward(x))


def sinusoids(side: int, dim: int) -> torch.Tensor:
    """Sines and cosines of rows, then of columns."""
    half = dim // 2
    waves = 10_000.0 ** (2 * torch.arange(half // 2) / half)
    angles = (torch.arange(1, side + 1) / side * 2 * torch.pi)[:, None] / waves
    own = torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)
    rows, columns = own[:, None].expand(-1, side, -1), own[None].expand(side, -1, -1)
    return torch.cat([rows, columns], -1).flatten(0, 1)


def corners(boxes: torch.Tensor) -> torch.Tensor:
    centre, size = boxes.chunk(2, -1)
    return torch.cat([centre - size / 2, centre + size / 2], -1)


def generalised_iou(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Of boxes by centre and size, broadcast against each other."""
    a, b = corners(first), corners(second)
    inner = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    outer = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    shared, around = inner.prod(-1), outer.prod(-1)
    union = first[..., 2:].prod(-1) + second[..., 2:].prod(-1) - shared
    return shared / union - (around - union) / around


def detection(model: dict[str, Any], sizes: dict[str, Any], dropout: float, given: Given) -> Peer:
    """A DETR with a backbone of one residual block."""
    backbone, dim = model["backbone"], model["dim"]
    stem, (width,) = backbone["stem"], backbone["widths"]

    class Detr(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = Convolved(3, stem, 7, 2)
            self.convolutions = nn.ModuleList([Convolved(stem, width, 3), Convolved(width, width, 3)])
            self.shortcut, self.project = Convolved(stem, width, 1), nn.Linear(width, dim)
            self.queries = nn.Parameter(torch.randn(model["queries"], dim))
            self.encoder, self.decoder = (
                nn.ModuleList(Layer(model, crosses=crosses) for _ in range(model[f"{kind}_layers"]))
                for kind, crosses in (("encoder", False), ("decoder", True))
            )
            self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, model["labels"] + 1)
            self.boxes = nn.ModuleList(nn.Linear(dim, size) for size in (dim, dim, 4))

        def forward(self, images: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
            x = functional.max_pool2d(functional.relu(self.stem(images)), 3, 2, 1)
            y = self.convolutions[1](functional.relu(self.convolutions[0](x)))
            x = functional.relu(y + self.shortcut(x))
            places = sinusoids(x.shape[-1], dim)
            x = self.project(x.flatten(2).transpose(1, 2))
            for layer in self.encoder:
                x = layer(x, places)
            own = self.queries.expand(len(x), -1, -1)
            y, answers = torch.zeros_like(own), []
            for layer in self.decoder:
                y = layer(y, own, (x, places))
                states = box = self.norm(y)
                for i, linear in enumerate(self.boxes):
                    box = linear(functional.relu(box) if i else box)
                answers.append((self.head(states), box.sigmoid()))
            return answers

    images = given["images"].float().permute(0, 3, 1, 2).contiguous()
    labels, boxes, present = given["labels"].long(), given["boxes"].float(), given["present"].bool()
    counts = present.sum(1).tolist()
    own_labels = [row[:count] for row, count in zip(labels, counts, strict=True)]
    own_boxes = [row[:count] for row, count in zip(boxes, counts, strict=True)]

    def of_layer(logits: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            p, every = logits.softmax(-1), torch.cat(own_boxes)
            far = torch.cdist(found.flatten(0, 1), every, p=1)
            apart = generalised_iou(found.flatten(0, 1)[:, None], every[None])
            costs = 5 * far - 2 * apart - p.flatten(0, 1)[:, torch.cat(own_labels)]
            parts = costs.view(len(found), -1, len(every)).split(counts, -1)
            chosen = [linear_sum_assignment(part[i].numpy()) for i, part in enumerate(parts)]
        row = torch.cat([torch.full((len(queries),), i) for i, (queries, _) in enumerate(chosen)])
        query = torch.from_numpy(np.concatenate([queries for queries, _ in chosen]))
        right = torch.cat([own_labels[i][order] for i, (_, order) in enumerate(chosen)])
        truth = torch.cat([own_boxes[i][order] for i, (_, order) in enumerate(chosen)])
        wanted = torch.full(logits.shape[:2], logits.shape[-1] - 1)
        wanted[row, query] = right
        weights = torch.ones(logits.shape[-1])
        weights[-1] = 0.1
        told = functional.cross_entropy(logits.transpose(1, 2), wanted, weights, reduction="sum")
        matched = found[row, query]
        l1 = (matched - truth).abs().sum()
        return (told + 5 * l1 + 2 * (1 - generalised_iou(matched, truth)).sum()) / len(found)

    def loss(model: nn.Module) -> torch.Tensor:
        return torch.stack([of_layer(*answer) for answer in model(images)]).sum()

    return Detr(), loss
