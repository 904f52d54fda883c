"""The models of `benchmarks/tasks.py` in plain PyTorch, as one writes them, each with its loss on a batch.

A peer is made from the config of the experiment, the sizes that the data decides, and a batch, of which it
makes what a loader would hand to it. It returns a module, and a function from the module to the loss.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

Peer = tuple[nn.Module, Callable[[nn.Module], torch.Tensor]]
Given = dict[str, torch.Tensor]
NORM_EPS = 1e-6


class Attention(nn.Module):
    """Softmax attention through PyTorch's own kernel, with rotated positions or without."""

    cos: torch.Tensor
    sin: torch.Tensor

    def __init__(self, dim: int, heads: int, dropout: float = 0.0, rope: int = 0) -> None:
        super().__init__()
        self.heads, self.rate = heads, dropout
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))
        self.rotates = rope > 0
        if rope:
            size = dim // heads
            waves = 10_000.0 ** (-torch.arange(0, size, 2) / size)
            angles = torch.arange(rope)[:, None] * waves
            self.register_buffer("cos", angles.cos(), persistent=False)
            self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(
        self, x: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        query, key, value = (
            own(given).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for own, given in ((self.query, x), (self.key, keys), (self.value, values))
        )
        if self.rotates:
            query, key = self._rotated(query), self._rotated(key)
        rate = self.rate if self.training else 0.0
        out = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=rate)
        return self.out(out.transpose(1, 2).flatten(-2))

    def _rotated(self, x: torch.Tensor) -> torch.Tensor:
        first, second = x.chunk(2, -1)
        cos, sin = self.cos[: x.shape[-2]], self.sin[: x.shape[-2]]
        return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


class FeedForward(nn.Module):
    """Two maps with the tanh-GELU or ReLU between them, or three with a ReLU as gate."""

    def __init__(self, dim: int, hidden: int, activation: str) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.gate = nn.Linear(dim, hidden) if activation == "reglu" else None
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.gate is not None:
            return self.down(functional.relu(self.gate(x)) * self.up(x))
        x = self.up(x)
        return self.down(
            functional.relu(x) if self.activation == "relu" else functional.gelu(x, approximate="tanh")
        )


class Block(nn.Module):
    """A block of attention and feed-forward with norms before them."""

    def __init__(self, model: dict[str, Any], dropout: float, rope: int = 0) -> None:
        super().__init__()
        dim = model["dim"]
        self.attention = Attention(dim, model["heads"], dropout, rope)
        self.feed_forward = FeedForward(dim, model["hidden"], model["activation"])
        self.first, self.second = (nn.LayerNorm(dim, NORM_EPS) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        read = self.first(x)
        x = x + self.dropout(self.attention(read, read, read, mask))
        return x + self.dropout(self.feed_forward(self.second(x)))


class Stack(nn.Module):
    """Blocks one after the other, and a norm."""

    def __init__(self, model: dict[str, Any], dropout: float, rope: int = 0) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(model, dropout, rope) for _ in range(model["layers"]))
        self.norm, self.dropout = nn.LayerNorm(model["dim"], NORM_EPS), nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x)


def sentiment(model: dict[str, Any], sizes: dict[str, Any], dropout: float, given: Given) -> Peer:
    """An encoder of texts, pooled by Lin et al.'s attention."""

    class Texts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            dim = model["dim"]
            self.embedding = nn.Embedding(sizes["vocab"], dim)
            self.stack = Stack(model, dropout, rope=model["max_length"])
            self.features, self.queries = (nn.Linear(dim, n, bias=False) for n in (dim, model["heads"]))
            self.head, self.dropout = nn.Linear(dim, model["labels"]), nn.Dropout(dropout)

        def forward(self, tokens: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
            states = self.stack(self.embedding(tokens), present[:, None, None])
            scores = self.queries(self.features(states).tanh()).masked_fill(~present[..., None], -torch.inf)
            pooled = torch.einsum("bsr,bsd->brd", scores.softmax(1), states).mean(1)
            return self.head(self.dropout(pooled))

    tokens, labels = given["tokens"].long(), given["labels"].long()
    present = torch.arange(tokens.shape[1]) < given["lengths"][:, None]
    return Texts(), lambda model: functional.cross_entropy(model(tokens, present), labels)


def language_model(model: dict[str, Any], sizes: dict[str, Any], dropout: float, given: Given) -> Peer:
    """A decoder with tied embeddings over rows in which no document sees another."""

    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(sizes["vocab"], model["dim"])
            nn.init.normal_(self.embedding.weight, std=model["dim"] ** -0.5)  # As logits need it.
            self.stack = Stack(model, dropout, rope=sizes["length"])

        def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return self.stack(self.embedding(tokens), mask) @ self.embedding.weight.T

    tokens, answers, segments = (given[name].long() for name in ("tokens", "answers", "segments"))
    causal = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).tril()

    def loss(model: nn.Module) -> torch.Tensor:
        mask = (segments[:, None, :, None] == segments[:, None, None, :]) & causal
        return functional.cross_entropy(model(tokens, mask).flatten(0, 1), answers.flatten())

    return Decoder(), loss


class Columns(nn.Module):
    """A token for each column: of a number, a class, or nothing."""

    offsets: torch.Tensor
    of_class: torch.Tensor

    def __init__(self, classes: list[int], dim: int) -> None:
        super().__init__()
        self.kernel, self.bias, self.missing = (
            nn.Parameter(torch.randn(len(classes), dim) * dim**-0.5) for _ in range(3)
        )
        counts = torch.tensor(classes)
        self.register_buffer("offsets", counts.cumsum(0) - counts, persistent=False)
        self.register_buffer("of_class", counts > 0, persistent=False)
        self.table = nn.Embedding(sum(classes), dim) if any(classes) else None

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        known = ~values.isnan()
        values = values.nan_to_num()
        tokens = values[..., None] * self.kernel
        if self.table is not None:
            codes = (values.long() + self.offsets).clamp(0, self.table.num_embeddings - 1)
            tokens = torch.where(self.of_class[:, None], self.table(codes), tokens)
        return torch.where(known[..., None], tokens + self.bias, self.missing)


class ClassToken(nn.Module):
    """Blocks over a class token and others, whose first vector tells the label."""

    def __init__(self, model: dict[str, Any], dropout: float) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(model["dim"]))
        self.stack, self.dropout = Stack(model, dropout), nn.Dropout(dropout)
        self.head = nn.Linear(model["dim"], model["labels"])

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        x = torch.cat([self.first.expand(len(tokens), 1, -1), tokens], 1)
        return self.head(self.dropout(functional.relu(self.stack(x, mask)[:, 0])))


def support2(model: dict[str, Any], sizes: dict[str, Any], dropout: float, given: Given) -> Peer:
    """An FT-Transformer."""

    class Tables(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.columns = Columns(sizes["classes"], model["dim"])
            self.told = ClassToken(model, dropout)

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return self.told(self.columns(values))

    values, labels = given["values"], given["labels"].long()
    return Tables(), lambda model: functional.cross_entropy(model(values), labels)


def patients(model: dict[str, Any], sizes: dict[str, Any], dropout: float, given: Given) -> Peer:
    """Blocks over events at irregular times, with learned waves of the times."""
    dim, waves = model["dim"], model["waves"]
    shortest, longest = model["shortest_period"], model["longest_period"]

    class Events(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel, self.bias, self.missing = (nn.Embedding(sizes["signs"], dim) for _ in range(3))
            periods = torch.from_numpy(np.geomspace(shortest, longest, waves)).float()
            self.frequency = nn.Parameter((2 * torch.pi / periods).log())
            self.phase, self.map = nn.Parameter(torch.rand(waves)), nn.Linear(1 + waves, dim)
            self.person, self.told = Columns(sizes["classes"], dim), ClassToken(model, dropout)

        def forward(self, times: Any, signs: Any, values: Any, persons: Any, mask: Any) -> torch.Tensor:
            known = ~values.isnan()
            of_value = values.nan_to_num()[..., None] * self.kernel(signs) + self.bias(signs)
            tokens = torch.where(known[..., None], of_value, self.missing(signs))
            times = times[..., None]
            turned = (times * self.frequency.exp() + self.phase).sin()
            tokens = tokens + self.map(torch.cat([times / longest, turned], -1))
            return self.told(torch.cat([self.person(persons), tokens], 1), mask)

    times, values, persons = (given[name].float() for name in ("times", "values", "persons"))
    signs, labels, present = given["signs"].long(), given["labels"].long(), given["present"].bool()
    ahead = torch.ones(len(times), 1 + persons.shape[1], dtype=torch.bool)
    mask = torch.cat([ahead, present], 1)[:, None, None]

    def loss(model: nn.Module) -> torch.Tensor:
        return functional.cross_entropy(model(times, signs, values, persons, mask), labels)

    return Events(), loss


def driving(model: dict[str, Any], sizes: dict[str, Any], dropout: float, given: Given) -> Peer:
    """Blocks over cars, and heads for three futures of each."""
    seen, base, future = (given[name].float() for name in ("seen", "base", "future"))
    present, modes = given["present"].bool(), model["modes"]
    there = present.float()

    class Cars(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            dim, times = model["dim"], future.shape[2]
            self.seen, self.inner = nn.Linear(seen.shape[-1], dim), nn.Linear(dim, dim)
            self.stack = Stack(model, dropout)
            self.places, self.chances = nn.Linear(dim, modes * times * 2), nn.Linear(dim, modes)

        def forward(self, seen: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            x = self.inner(functional.gelu(self.seen(seen), approximate="tanh"))
            states = self.stack(x, mask)
            return self.places(states).unflatten(-1, (modes, -1, 2)), self.chances(states)

    def loss(model: nn.Module) -> torch.Tensor:
        places, logits = model(seen, present[:, None, None])
        off = base[:, :, None] + places - future[:, :, None]
        far = ((off**2).sum(-1) + 1e-6).sqrt().mean(-1)
        least, best = far.min(-1)
        surprise = functional.cross_entropy(logits.flatten(0, 1), best.flatten(), reduction="none")
        return (there * (least + surprise.view_as(least))).sum() / there.sum()

    return Cars(), loss
