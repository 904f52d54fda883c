"""What attention costs, side by side with peers: SDPA and compiled flex of PyTorch, jax.nn.

    python benchmarks/attention.py [--rounds 7] [--only causal window …]

float32, batch 1, 8 heads of 64, unless the name says otherwise. Forward, and forward with the gradients of
query, key and value. PyTorch runs in a process of its own with as many threads as there are cores; all take
turns, round by round, and the second of two calls counts. A ratio is the median over rounds of ours to that
round's peer: below 1 we are faster.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from _measure import alternate, machine, report, seconds, summary
from _torch_peer import TorchPeer

import attnjax as aj

HEADS, SIZE = 8, 64
LONG, LONG_WINDOW = 131072, 1024
Cases = dict[str, Callable[[], float]]


def timed(fn: Callable[..., Any], *args: Any, calls: int = 1) -> Callable[[], float]:
    """A case that calls `fn`, compiled, on `args`: the mean of so many calls in a row."""
    compiled = jax.jit(fn)
    jax.block_until_ready(compiled(*args))

    def case() -> float:
        return seconds(lambda: jax.block_until_ready([compiled(*args) for _ in range(calls)][-1])) / calls

    return case


def tokens(length: int, batch: int = 1) -> list[jax.Array]:
    keys = jax.random.split(jax.random.key(0), 3)
    return [jax.random.normal(key, (batch, length, HEADS, SIZE)) for key in keys]


def directions(attend: Callable[..., jax.Array]) -> dict[str, Callable[..., Any]]:
    """The forward pass, and the forward pass with all gradients."""
    return {"forward": attend, "both": jax.grad(lambda *x: attend(*x).sum(), argnums=(0, 1, 2))}


def dense_work(torch: TorchPeer | None, causal: bool) -> dict[str, Cases]:
    """T = 4096, causal or full, against SDPA and jax.nn."""
    name, args = "causal" if causal else "full", tokens(4096)
    ours = directions(lambda q, k, v: aj.attention(q, k, v, mask=aj.causal() if causal else None))
    jax_nn = directions(lambda q, k, v: jax.nn.dot_product_attention(q, k, v, is_causal=causal))
    work: dict[str, Cases] = {}
    for direction in ours:
        cases = {"ours": timed(ours[direction], *args), "jax.nn": timed(jax_nn[direction], *args)}
        if direction == "forward":
            blocks = [
                (i, j) for i in range(0, 4096, 1024) for j in range(0, 4096, 1024) if j <= i or not causal
            ]
            cases["products alone"] = timed(products(1024, 1024, blocks), *args)
        if torch:
            cases = {"torch SDPA": torch_case(torch, "sdpa", 4096, name, direction), **cases}
        work[f"{name} T=4096 {direction}"] = cases
    return work


def window_work(torch: TorchPeer | None) -> dict[str, Cases]:
    """A window of 256 over T = 8192; backward, which no peer has on CPU, against our own forward."""
    args = tokens(8192)
    ours = directions(lambda q, k, v: aj.attention(q, k, v, mask=aj.sliding_window(256, 0)))
    forward = timed(ours["forward"], *args)
    alone = products(256, 512, [(i, max(0, i - 256)) for i in range(0, 8192, 256)])
    flex = {"torch flex": torch_case(torch, "flex", 8192, "window", "forward", window=256)} if torch else {}
    return {
        "window 256 T=8192 forward": {**flex, "ours": forward, "products alone": timed(alone, *args)},
        "window 256 T=8192 both": {"our forward": forward, "ours": timed(ours["both"], *args)},
    }


def products(queries: int, keys: int, blocks: Sequence[tuple[int, int]]) -> Callable[..., jax.Array]:
    """The matrix products of a forward pass alone, without masks, softmax and guards: XLA's share.

    `blocks`: first query and first key of each block of so many queries and keys.
    """
    starts = jnp.array(blocks)

    def run(query: Any, key: Any, value: Any) -> Any:
        def block(i: Any, out: Any) -> Any:
            def take(x: Any, first: Any, size: int) -> Any:
                return jax.lax.dynamic_slice_in_dim(x, first, size, 1).swapaxes(1, 2)

            first, (own, seen) = starts[i, 0], (take(x, starts[i, 1], keys) for x in (key, value))
            added = jnp.matmul(jnp.matmul(take(query, first, queries), own.swapaxes(2, 3)), seen)
            return jax.lax.dynamic_update_slice_in_dim(out, added.swapaxes(1, 2), first, 1)

        return jax.lax.fori_loop(0, len(blocks), block, jnp.zeros_like(query))

    return run


def packed_work(torch: TorchPeer | None) -> dict[str, Cases]:
    """16 documents of 512 in one row, ids traced, against 16 calls."""
    documents, length = 16, 512
    args, ids = tokens(documents * length), jnp.repeat(jnp.arange(documents), length)

    def packed(query: Any, key: Any, value: Any, ids: Any = None) -> Any:
        mask = aj.causal() if ids is None else aj.causal() & aj.segments(ids)
        return aj.attention(query, key, value, mask=mask)

    parts = [[x[:, i * length : (i + 1) * length] for x in args] for i in range(documents)]
    work = {}
    for direction, one in directions(packed).items():
        apart = jax.jit(one)
        jax.block_until_ready(apart(*parts[0]))

        def calls(apart: Any = apart) -> float:
            return seconds(lambda: jax.block_until_ready([apart(*part) for part in parts]))

        fn = directions(lambda q, k, v, ids: packed(q, k, v, ids))[direction]
        work[f"packed 16×512 {direction}"] = {"16 calls": calls, "ours": timed(fn, *args, ids)}
    return work


def short_work(torch: TorchPeer | None) -> dict[str, Cases]:
    """Batches of 32 short sequences, forward and backward, against jax.nn."""
    ours = directions(lambda q, k, v: aj.attention(q, k, v, mask=aj.causal()))["both"]
    jax_nn = directions(lambda q, k, v: jax.nn.dot_product_attention(q, k, v, is_causal=True))["both"]
    return {
        f"short B=32 T={length} both": {
            "jax.nn": timed(jax_nn, *tokens(length, 32)),
            "ours": timed(ours, *tokens(length, 32)),
        }
        for length in (64, 128, 256, 512)
    }


def decoding_work(torch: TorchPeer | None) -> dict[str, Cases]:
    """One query over the keys and values of a cache that is full but for one slot, against jax.nn."""

    def ours(query: Any, key: Any, value: Any, count: Any) -> Any:
        return aj.attention(query, key, value, mask=aj.lengths(key=count))

    def jax_nn(query: Any, key: Any, value: Any, count: Any) -> Any:
        return jax.nn.dot_product_attention(query, key, value, key_value_seq_lengths=count)

    work = {}
    for length in (256, 1024, 4096, 16384):
        query, key, value = tokens(length)
        args = query[:, :1], key, value, jnp.array([length - 1])
        cases = {"jax.nn": timed(jax_nn, *args, calls=20), "ours": timed(ours, *args, calls=20)}
        work[f"decoding, {length} keys"] = cases
    return work


def linear_work(torch: TorchPeer | None) -> dict[str, Cases]:
    """Time by length under a fixed window: linear if the ratio to the first is the lengths'."""
    ours = directions(lambda q, k, v: aj.attention(q, k, v, mask=aj.sliding_window(256, 0)))
    return {
        f"window 256 by length {direction}": {
            f"T={length // 1024}k": timed(fn, *tokens(length)) for length in (8192, 16384, 32768, 65536)
        }
        for direction, fn in ours.items()
    }


def torch_case(
    torch: TorchPeer, kind: str, length: int, mask: str, direction: str, window: int = 0
) -> Callable[[], float]:
    spec = {"kind": kind, "batch": 1, "heads": HEADS, "size": SIZE, "length": length, "mask": mask}
    spec |= {"backward": direction == "both", "window": window}
    return lambda: torch.seconds(spec)


def long_memory() -> dict[str, Any]:
    """Forward and backward of T = 131072 under a window of 1024: peak memory to that of what must be held."""
    code = f"from attention import one_long_call; one_long_call({LONG}, {LONG_WINDOW})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=os.path.dirname(__file__),
    )
    return json.loads(done.stdout.splitlines()[-1])


def one_long_call(length: int, window: int) -> None:
    """Prints seconds and the peak memory above the start, in multiples of inputs, outputs and gradients."""

    def loss(q: Any, k: Any, v: Any) -> Any:
        out = aj.attention(q, k, v, mask=aj.sliding_window(window, 0))
        return out.sum(), out

    run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))
    before = memory("VmRSS")
    args = tokens(length)
    took = seconds(lambda: jax.block_until_ready(run(*args)))
    peak = memory("VmHWM") - before
    held = 7 * args[0].nbytes
    print(json.dumps({"seconds": round(took, 1), "peak_to_held": round(peak / held, 2)}))


def memory(kind: str) -> int:
    """Bytes that this process holds (VmRSS), or held at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(kind))


WORK = {
    "causal": lambda torch: dense_work(torch, causal=True),
    "full": lambda torch: dense_work(torch, causal=False),
    "window": window_work,
    "packed": packed_work,
    "short": short_work,
    "decoding": decoding_work,
    "linear": linear_work,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=[*WORK, "memory"], default=[*WORK, "memory"])
    options = parser.parse_args()
    has_torch = importlib.util.find_spec("torch") is not None
    about = machine(("torch",) if has_torch else ())
    torch = TorchPeer(len(os.sched_getaffinity(0))) if has_torch else None
    table: dict[str, dict[str, Any]] = {}
    for group in (name for name in options.only if name in WORK):
        for name, cases in WORK[group](torch).items():
            print(name, file=sys.stderr)
            rows = summary(alternate(cases, options.rounds, calls=2), baseline=next(iter(cases)))
            table |= {f"{name}: {who}": row for who, row in rows.items()}
    if torch:
        torch.close()
    if "memory" in options.only:
        about["long"] = long_memory()
        print(f"T={LONG}, window {LONG_WINDOW}, forward and backward: {about['long']}")
    note = "ratio: to the first case of the same work"
    report("attention", table, about, note)


if __name__ == "__main__":
    main()
