"""Attention, the gated delta rule and packs of trials on one GPU, in bfloat16, beside peers.

    pip install fla-core; python benchmarks/gpu.py [--rounds 3] [--only products attention …]

Batch 1, 8 heads of 64 unless the name says otherwise. Every case is the mean of some calls in a row; all take
turns, round by round, and PyTorch runs in a process of its own. `share`: the operations of the plain formula
by the time, as a share of the rate at which the same GPU multiplies two matrices of 8192² here. A causal mask
halves them; forward and backward are 3.5 times forward, for the delta rule, in chunks of 64, 3 times.
Start it with XLA_PYTHON_CLIENT_PREALLOCATE=false: the two processes share the memory.
"""

import argparse
import functools
import importlib.util
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from _measure import alternate, machine, report, seconds, summary
from _torch_peer import TorchPeer
from attention import timed
from linear import directions, gated_delta

import attnjax as aj
from attnjax.train.packs.program import PackLayout, PackProgram, PackTrial
from attnjax.train.spans import next_span

CALLS = 10
Cases = dict[str, Callable[[], float]]
Work = dict[str, tuple[float, Cases]]  # The operations of one call, and who computes it.


def draw(batch: int, length: int, heads: int, size: int) -> list[jax.Array]:
    keys = jax.random.split(jax.random.key(0), 3)
    return [jax.random.normal(key, (batch, length, heads, size), jnp.bfloat16) for key in keys]


def delta_tokens(length: int) -> list[jax.Array]:
    query, key, value = draw(1, length, 8, 64)
    key /= jnp.linalg.norm(key, axis=-1, keepdims=True)
    keys = jax.random.split(jax.random.key(1))
    decay = -jax.nn.softplus(jax.random.normal(keys[0], (1, length, 8)))
    return [query, key, value, decay, jax.random.uniform(keys[1], (1, length, 8), jnp.bfloat16)]


def product_work(torch: TorchPeer | None) -> Work:
    """The ceiling: what a large product reaches."""
    x = jax.random.normal(jax.random.key(0), (8192, 8192), jnp.bfloat16)
    return {"product 8192³": (2 * 8192**3, {"jax": timed(lambda x: x @ x, x, calls=CALLS)})}


def attention_work(torch: TorchPeer | None) -> Work:
    """16k tokens of 16 heads of 128 in all: causal, full, and a window of 1024."""
    heads, size, work = 16, 128, Work()
    masks: dict[str, Any] = {"causal": aj.causal(), "full": None, "window": aj.sliding_window(1023, 0)}
    sizes = [(1024, "causal"), (4096, "causal"), (16384, "causal"), (4096, "full"), (16384, "window")]
    for length, kind in sizes:
        batch, mask = 16384 // length, masks[kind]
        args, pairs = draw(batch, length, heads, size), {"causal": length / 2, "full": length, "window": 1024}
        for direction, factor in (("forward", 1), ("both", 3.5)):
            flops = factor * 4 * batch * length * pairs[kind] * heads * size
            cases: Cases = {}
            if torch:
                spec = {
                    "kind": "flex" if kind == "window" else "sdpa",
                    "mask": kind,
                    "cuda": True,
                    "calls": CALLS,
                }
                spec |= {"batch": batch, "heads": heads, "size": size, "length": length, "window": 1023}
                spec |= {"backward": direction == "both"}
                cases["torch"] = functools.partial(torch.seconds, spec)
            for name in ("blockwise", "cudnn", "pallas_gpu"):
                if name == "pallas_gpu" and kind == "window":
                    continue

                def attend(q: Any, k: Any, v: Any, mask: Any = mask, name: str = name) -> Any:
                    return aj.attention(q, k, v, mask=mask, implementation=name)

                add(cases, name, directions(attend, 3)[direction], args)
            work[f"{kind} B{batch} T{length} {direction}"] = flops, cases
    return work


def linear_work(torch: TorchPeer | None) -> Work:
    """The gated delta rule, and softmax over the same tokens."""
    work = Work()
    for length in (4096, 16384, 65536):
        args = delta_tokens(length)
        for direction, factor in (("forward", 1), ("both", 3)):
            flops = factor * length * 8 * 2 * 64 * (6 * 64)
            cases: Cases = {}
            spec = {"batch": 1, "heads": 8, "size": 64, "length": length, "cuda": True, "calls": CALLS}
            spec |= {"backward": direction == "both"}
            if torch:  # transformers' code would call fla's kernels where they are.
                kind = "fla" if importlib.util.find_spec("fla") else "gated_delta"
                try_out(cases, kind, functools.partial(peer, torch, spec | {"kind": kind}))
            add(cases, "ours", directions(gated_delta)[direction], args)

            def softmax(q: Any, k: Any, v: Any, *_: Any) -> Any:
                return aj.attention(q, k, v, mask=aj.causal(), implementation="cudnn")

            add(cases, "softmax (cudnn)", directions(softmax, 3)[direction], args)
            work[f"gated delta T{length} {direction}"] = flops, cases
    return work


def pack_work(torch: TorchPeer | None) -> Work:
    """50 steps of a trial of benchmarks/sweep_folder/lookup.py in packs of each width, per trial."""
    sys.path.append(str(Path(__file__).parent / "sweep_folder"))
    from lookup import Lookup

    config = Lookup().train
    span = next_span(0, config)

    def pack(width: int) -> Callable[[], float]:
        program = PackProgram(Lookup().task(), config, PackLayout("vmap", width))
        trials = [PackTrial(i, config, i, Path()) for i in range(width)]
        batches, lanes = program.batches([span] * width), program.lanes(trials, range(width))

        def case() -> float:
            states = jax.block_until_ready(program.empty())
            return seconds(lambda: jax.block_until_ready(program.chunk(states, batches, lanes))) / width

        case()
        return case

    return {"50 steps of a trial": (0.0, {f"width {n}": pack(n) for n in (1, 8, 32, 64, 128, 256)})}


def peer(torch: TorchPeer, spec: dict[str, Any]) -> Callable[[], float]:
    """A case of PyTorch, called once."""
    torch.seconds(spec)
    return functools.partial(torch.seconds, spec)


def add(cases: Cases, name: str, fn: Callable[..., Any], args: list[jax.Array]) -> None:
    """A case of ours."""
    try_out(cases, name, lambda: timed(fn, *args, calls=CALLS))


def try_out(cases: Cases, name: str, make: Callable[[], Callable[[], float]]) -> None:
    """A case, unless it cannot run here: that is said, and no reason to stop."""
    try:
        cases[name] = make()
    except Exception as error:
        print(f"not {name}: {str(error).splitlines()[0][:300]}", flush=True)


WORK = {"products": product_work, "attention": attention_work, "linear": linear_work, "packs": pack_work}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=WORK, default=[*WORK])
    options = parser.parse_args()
    if jax.default_backend() != "gpu":
        parser.error(f"jax runs on {jax.default_backend()} here: this needs a GPU")
    has_torch = importlib.util.find_spec("torch") is not None
    peers = {"torch": "torch", "transformers": "transformers", "fla": "fla-core"}
    names = [package for module, package in peers.items() if importlib.util.find_spec(module)]
    about = machine(tuple(names)) | {"gpu": jax.devices()[0].device_kind}
    torch = TorchPeer(4) if has_torch else None
    peak = math.nan
    for group in dict.fromkeys(["products", *options.only]):
        table: dict[str, dict[str, Any]] = {}
        for name, (flops, cases) in WORK[group](torch).items():
            rows = summary(alternate(cases, options.rounds, calls=2), baseline=next(iter(cases)))
            for who, row in rows.items():
                rate = flops / row["median_s"] / 1e12
                peak = rate if group == "products" else peak
                row |= {"tflops": round(rate, 2), "share": round(rate / peak, 4)} if flops else {}
                print(name, who, row["median_s"], row["ratio"], row.get("share"), flush=True)
                table[f"{name}: {who}"] = row
        report(f"gpu-{group}", table, about, "bfloat16; ratio: to the first case of the same work")
    if torch:
        torch.close()


if __name__ == "__main__":
    main()
