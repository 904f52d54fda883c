"""Generation side by side with transformers: the same weights, float32, as many threads each, greedy.

    python benchmarks/generate.py [--rounds 3] [--tokens 128] [--threads 2] [--only gpt2-10M …]

Cases of each model, alternating, transformers in a process of its own:

    NAME ours ×B          `models.generate` for B prompts of 16 tokens
    NAME same bits ×1     one prompt in a tile of 8 rows: the bits that it has in any batch
    NAME transformers ×B  `model.generate` of transformers. The ratios' baseline.
    NAME prefill …        a prompt of 512 tokens and one token

Figures are seconds of a whole call. Beside them: tokens per second; the share of this machine's memory
bandwidth that reading weights and cache once a step takes, where the bandwidth is that of a plain sum of as
many bytes as there are weights; and, by XLA's own count, the bytes of a step over those of weights and cache.
Threads of PyTorch wait for each other without sleep: on a machine with other work two of them can take ten
times as long, so that --threads 1 is the fair comparison there. About 10 minutes on a quiet one.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from _generate_peer import SHAPES
from _measure import alternate, machine, report, seconds, summary
from _torch_peer import TorchPeer
from flax import nnx

from attnjax.models import generate
from attnjax.models.decoding.generate import _Run
from attnjax.pretrained import from_pretrained

PROMPT, PREFILL = 16, 512

Case = Callable[[], float]


def ours(model: Any, batch: int, prompt: int, tokens: int, **options: Any) -> Case:
    """Returns a case that is compiled already."""
    inputs, lengths = jnp.full((batch, prompt), 5), jnp.full(batch, prompt)

    def run() -> object:
        decoded = generate(model, inputs, lengths, eos=[], pad=0, max_length=tokens, **options)
        return decoded.tokens.block_until_ready()

    run()
    return lambda: seconds(run)


def bandwidth(size: int) -> float:
    """Returns bytes per second of the best of ten sums of so many bytes by as many threads."""
    numbers = jnp.ones(size // 4)
    total = jax.jit(jnp.sum)
    total(numbers).block_until_ready()
    return size / min(seconds(lambda: total(numbers).block_until_ready()) for _ in range(10))


def bytes_of_step(model: Any, batch: int, tokens: int) -> dict[str, float]:
    """Returns the bytes of weights and of the cache, and those that XLA counts for one step."""
    inputs, lengths = jnp.full((batch, PROMPT), 5), jnp.full(batch, PROMPT)
    run = _Run(model, inputs, lengths, None, None, [], 0, tokens, "right", None)
    state = run._begun(inputs, lengths, None)
    weights, cache = (sum(x.nbytes for x in jax.tree.leaves(tree)) for tree in (run.params, state.cache))
    graphdef = run.structure.graphdef
    step = jax.jit(lambda params, state: run.strategy.advance(nnx.merge(graphdef, params), state, run.marks))
    cost: Any = step.lower(run.params, state).compile().cost_analysis()
    return {"weights": weights, "cache": cache, "step": cost["bytes accessed"]}


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    options = parser.parse_args()
    # XLA takes a thread for each core that it may run on; it has not started yet.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-options.threads :])
    about = machine(("transformers", "torch")) | {"threads": options.threads}
    rows: dict[str, dict[str, Any]] = {}
    more: dict[str, Any] = {}
    peer = TorchPeer(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            found, sizes = measured(name, str(Path(folder) / name), peer, options)
            rows |= found
            more[name] = sizes
    peer.close()
    report("generate", rows, about, "seconds of a whole call; ratio to transformers", {"models": more})


def measured(name: str, folder: str, peer: TorchPeer, options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the rows of one model and what else is known of it."""
    common = {"kind": "generate", "shape": name, "folder": folder}

    def theirs(batch: int, prompt: int, tokens: int) -> Case:
        spec = common | {"batch": batch, "prompt": prompt, "tokens": tokens}
        peer.seconds(spec)
        return lambda: peer.seconds(spec)

    first = {batch: theirs(batch, PROMPT, options.tokens) for batch in options.batches}
    model: Any = from_pretrained(folder)
    groups: list[tuple[str, dict[str, Case], int]] = []
    for batch in options.batches:
        cases = {
            f"{name} transformers ×{batch}": first[batch],
            f"{name} ours ×{batch}": ours(model, batch, PROMPT, options.tokens),
        }
        if batch == 1:
            cases[f"{name} same bits ×1"] = ours(model, 1, PROMPT, options.tokens, tile=(8, PROMPT))
        groups.append((f"×{batch}", cases, batch * options.tokens))
    fill = {
        f"{name} prefill transformers": theirs(1, PREFILL, 1),
        f"{name} prefill ours": ours(model, 1, PREFILL, 1),
    }
    groups.append(("prefill", fill, PREFILL))
    rows: dict[str, Any] = {}
    sizes: dict[str, Any] = {}
    for group, cases, count in groups:
        table = summary(alternate(cases, options.rounds), next(iter(cases)))
        for row in table.values():
            row["tokens_per_s"] = round(count / row["median_s"], 1)
        rows |= table
        if group != "prefill":
            batch = int(group[1:])
            moved = bytes_of_step(model, batch, options.tokens)
            rate = bandwidth(int(moved["weights"]))
            step = table[f"{name} ours {group}"]["median_s"] / options.tokens
            sizes[group] = moved | {
                "bandwidth_gb_per_s": round(rate / 1e9, 1),
                "share_of_bandwidth": round((moved["weights"] + moved["cache"]) / step / rate, 3),
                "bytes_over_weights_and_cache": round(moved["step"] / (moved["weights"] + moved["cache"]), 3),
            }
            print(
                name,
                group,
                {case: row["tokens_per_s"] for case, row in table.items()},
                sizes[group],
                flush=True,
            )
    return rows, sizes


if __name__ == "__main__":
    main()
