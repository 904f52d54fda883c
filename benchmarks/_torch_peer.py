"""PyTorch in a process of its own, so that its threads and jax's do not share one: timed calls by name."""

import multiprocessing
import time
from typing import Any

# kind "sdpa" | "flex" | "gated_delta", lengths, mask "full" | "causal" | "window", backward
Spec = dict[str, Any]


class TorchPeer:
    """Runs attention cases of PyTorch with as many threads as there are cores."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, threads), daemon=True)
        self._process.start()

    def seconds(self, spec: Spec) -> float:
        """Of one call, after a first one that compiles."""
        self._here.send(spec)
        return self._here.recv()

    def close(self) -> None:
        self._here.send(None)
        self._process.join()


def _serve(pipe: Any, threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    calls: dict[str, Any] = {}
    while (spec := pipe.recv()) is not None:
        name = repr(sorted(spec.items()))
        if name not in calls:
            calls[name] = _call(spec)
            calls[name]()
        start = time.perf_counter()
        calls[name]()
        pipe.send(time.perf_counter() - start)


def _call(spec: Spec) -> Any:
    return _gated_delta(spec) if spec["kind"] == "gated_delta" else _attention(spec)


def _gated_delta(spec: Spec) -> Any:
    """The chunk form of transformers, with unit keys, strengths in (0, 1) and decays as it draws them."""
    import torch
    from transformers.models.qwen3_next.modeling_qwen3_next import torch_chunk_gated_delta_rule

    shape = (spec["batch"], spec["length"], spec["heads"])
    query, key, value = (torch.randn(*shape, spec["size"]) for _ in range(3))
    key = torch.nn.functional.normalize(key, dim=-1)
    strength, decay = torch.rand(shape), -torch.nn.functional.softplus(torch.randn(shape))
    inputs = [x.requires_grad_(spec["backward"]) for x in (query, key, value, decay, strength)]

    def attend() -> Any:
        return torch_chunk_gated_delta_rule(*inputs[:3], g=inputs[3], beta=inputs[4])[0]

    return _timed(attend, inputs, spec["backward"])


def _timed(attend: Any, inputs: list[Any], backward: bool) -> Any:
    """A call of the forward pass alone, or with the gradients of all inputs."""
    import torch

    def forward() -> None:
        with torch.no_grad():
            attend()

    def both() -> None:
        torch.autograd.grad(attend().sum(), inputs)

    return both if backward else forward


def _attention(spec: Spec) -> Any:
    import torch
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    length, window = spec["length"], spec.get("window", 0)
    inputs: list[Any] = [
        torch.randn(spec["batch"], spec["heads"], length, spec["size"], requires_grad=spec["backward"])
        for _ in range(3)
    ]
    query, key, value = inputs
    if spec["kind"] == "flex":

        def inside(b: Any, h: Any, q: Any, k: Any) -> Any:
            return (q >= k) & (q - k <= window)

        mask = create_block_mask(inside, None, None, length, length, device="cpu")
        compiled = torch.compile(flex_attention)

        def attend() -> Any:
            return compiled(query, key, value, block_mask=mask)
    else:

        def attend() -> Any:
            causal = spec["mask"] == "causal"
            return torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=causal)

    return _timed(attend, inputs, spec["backward"])
