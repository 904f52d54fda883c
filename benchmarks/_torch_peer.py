"""PyTorch in a process of its own, so that its threads and jax's do not share one: timed calls by name."""

import contextlib
import multiprocessing
import time
from collections.abc import Iterator
from typing import Any

from _encode_peer import encoding
from _generate_peer import generation

# kind "sdpa" | "flex" | "gated_delta" | "fla", lengths, mask "full" | "causal" | "window", backward; calls in
# a row, of which the mean counts; on the GPU ("cuda": True) in bfloat16. "generate" and "encode" have
# fields of their own.
Spec = dict[str, Any]


class TorchPeer:
    """Runs attention cases of PyTorch with as many threads as there are cores."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, threads), daemon=True)
        self._process.start()

    def seconds(self, spec: Spec) -> float:
        """Of one call, after a first one that compiles. Raises what PyTorch raised."""
        self._here.send(spec)
        answer = self._here.recv()
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return answer

    def close(self) -> None:
        self._here.send(None)
        self._process.join()


def _serve(pipe: Any, threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    calls: dict[str, Any] = {}
    while (spec := pipe.recv()) is not None:
        try:
            pipe.send(_seconds(spec, calls))
        except Exception as error:
            pipe.send(f"{type(error).__name__}: {error}")


def _seconds(spec: Spec, calls: dict[str, Any]) -> float:
    import torch

    name, count = repr(sorted(spec.items())), spec.get("calls", 1)
    if name not in calls:
        with _place(spec):
            calls[name] = _call(spec)
            calls[name]()
    wait = torch.cuda.synchronize if spec.get("cuda") else lambda: None
    wait()
    start = time.perf_counter()
    for _ in range(count):
        calls[name]()
    wait()
    return (time.perf_counter() - start) / count


@contextlib.contextmanager
def _place(spec: Spec) -> Iterator[None]:
    """Where, and in which dtype, inputs are drawn."""
    import torch

    if not spec.get("cuda"):
        yield
        return
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        yield
    torch.set_default_dtype(torch.float32)


def _call(spec: Spec) -> Any:
    if spec["kind"] == "generate":
        return generation(spec)
    if spec["kind"] == "encode":
        return encoding(spec)
    return _gated_delta(spec) if spec["kind"] in ("gated_delta", "fla") else _attention(spec)


def _gated_delta(spec: Spec) -> Any:
    """The chunk form of transformers, or the Triton kernels of flash-linear-attention ("fla").

    With unit keys, strengths in (0, 1), and log-decays as `benchmarks/linear.py` draws them.
    """
    import torch

    if spec["kind"] == "fla":
        from fla.ops.gated_delta_rule import chunk_gated_delta_rule as rule
    else:
        from transformers.models.qwen3_next.modeling_qwen3_next import torch_chunk_gated_delta_rule as rule

    shape = (spec["batch"], spec["length"], spec["heads"])
    query, key, value = (torch.randn(*shape, spec["size"]) for _ in range(3))
    key = torch.nn.functional.normalize(key, dim=-1)
    strength, decay = torch.rand(shape), -torch.nn.functional.softplus(torch.randn(shape))
    decay = decay.float()
    inputs = [x.requires_grad_(spec["backward"]) for x in (query, key, value, decay, strength)]

    def attend() -> Any:
        return rule(*inputs[:3], g=inputs[3], beta=inputs[4])[0]

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

        device = "cuda" if spec.get("cuda") else "cpu"
        mask = create_block_mask(inside, None, None, length, length, device=device)
        compiled = torch.compile(flex_attention)

        def attend() -> Any:
            return compiled(query, key, value, block_mask=mask)
    else:

        def attend() -> Any:
            causal = spec["mask"] == "causal"
            return torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=causal)

    return _timed(attend, inputs, spec["backward"])
