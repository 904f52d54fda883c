"""A plain SASRec in PyTorch, and its ranking of all items: timed calls in a process of its own."""

import time
from typing import Any

import numpy as np


def batch(spec: dict[str, Any]) -> dict[str, np.ndarray]:
    """Returns the events that both sides train on: as many for every row, so that none is padding."""
    rng = np.random.default_rng(0)
    events = rng.integers(0, spec["items"], (spec["batch"], spec["length"] + 1)).astype(np.int32)
    drawn = rng.integers(0, spec["items"], (spec["batch"], spec["negatives"])).astype(np.int32)
    return {"items": events[:, :-1], "targets": events[:, 1:], "negatives": drawn}


def training(spec: dict[str, Any]) -> Any:
    """Returns a step of Adam: two blocks x + f(LayerNorm(x)), the loss over all items or those drawn."""
    import torch

    size, functional = spec["dim"], torch.nn.functional

    class SASRec(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.items = torch.nn.Embedding(spec["items"], size)
            self.places = torch.nn.Embedding(spec["length"], size)
            self.blocks = torch.nn.ModuleList(
                torch.nn.TransformerEncoderLayer(
                    size, 2, 2 * size, dropout=0.1, batch_first=True, norm_first=True, activation="gelu"
                )
                for _ in range(2)
            )
            self.norm = torch.nn.LayerNorm(size)

        def forward(self, items: Any, mask: Any) -> Any:
            x = self.items(items) + self.places.weight
            for block in self.blocks:
                x = block(x, src_mask=mask, is_causal=True)
            return self.norm(x)

    model = SASRec()
    torch.nn.init.normal_(model.items.weight, std=size**-0.5)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    mask = torch.nn.Transformer.generate_square_subsequent_mask(spec["length"])
    given = {name: torch.tensor(x).long() for name, x in batch(spec).items()}

    def step() -> None:
        optimizer.zero_grad()
        states = model(given["items"], mask)
        if spec["loss"] == "full":
            logits = states @ model.items.weight.T
            loss = functional.cross_entropy(logits.flatten(0, 1), given["targets"].flatten())
        else:
            own = (states * model.items(given["targets"])).sum(-1, keepdim=True)
            others = torch.einsum("btd,bkd->btk", states, model.items(given["negatives"]))
            loss = (torch.logsumexp(torch.cat([own, others], -1), -1) - own[..., 0]).mean()
        loss.backward()
        optimizer.step()

    return step


def ranking(spec: dict[str, Any]) -> Any:
    """Returns a ranking of all items for some users: the product and topk, as many users at once as fit."""
    import torch

    generator = torch.Generator().manual_seed(0)
    table = torch.randn(spec["items"], spec["dim"], generator=generator)
    states = torch.randn(spec["users"], spec["dim"], generator=generator)

    def rank() -> None:
        with torch.no_grad():
            for part in states.split(spec["rows"]):
                torch.topk(part @ table.T, 10)

    return rank


def serve(pipe: Any, threads: int, spec: dict[str, Any]) -> None:
    """Answers each message with the seconds of one call, and None with the peak of the process's memory."""
    import torch

    torch.set_num_threads(threads)
    call = (ranking if spec["kind"] == "rank" else training)(spec)
    answer(pipe, call)


def answer(pipe: Any, call: Any) -> None:
    """Serves calls until None comes, then tells the most memory that the process held."""
    call()
    pipe.send(True)
    while pipe.recv() is not None:
        start = time.perf_counter()
        call()
        pipe.send(time.perf_counter() - start)
    with open("/proc/self/status") as lines:
        peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    pipe.send(1024 * peak)
