"""What an additive comparison costs beside its arithmetic and beside the plain form.

    python benchmarks/catalogue_classic.py [--rounds 5] [--length 1024] [--size 64]

float32, one head, T = S. The bound is T·S·H times a + tanh(x + i), the arithmetic of the scores alone, at the
throughput of this machine in the same round. A backward pass has to compute each tanh twice more: for the
weights, and for the derivatives once the weights are known. `memory_mib` is what XLA's program holds besides
its arguments and results.
"""

import argparse
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from _measure import alternate, machine, report, seconds, summary

import attnjax as aj
from attnjax.ops import comparisons

ENGINES = {"plain": "reference", "blocks": "blockwise"}


def tanh_alone(length: int, size: int) -> Callable[[], float]:
    """As many tanh as there are pairs and channels, with the two additions that each needs."""

    @jax.jit
    def run(x: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, size, lambda i, total: total + jnp.tanh(x + i), jnp.zeros_like(x))

    x = jnp.linspace(-3, 3, length * length).reshape(length, length)
    jax.block_until_ready(run(x))
    return lambda: seconds(lambda: jax.block_until_ready(run(x)))


def attending(engine: str, length: int, size: int, *, backward: bool) -> tuple[Callable[[], float], float]:
    """A case of additive attention, and its memory in MiB."""
    keys = jax.random.split(jax.random.key(0), 4)
    v, *tokens = (jax.random.normal(keys[i], (length, 1, size) if i else (size,)) for i in range(4))

    def out(v: Any, query: Any, key: Any, value: Any) -> jax.Array:
        own = comparisons.additive(v)
        return jnp.sum(aj.attention(query, key, value, comparison=own, implementation=ENGINES[engine]) ** 2)

    run = jax.jit(jax.value_and_grad(out, argnums=(0, 1, 2, 3)) if backward else out)
    compiled: Any = run.lower(v, *tokens).compile()
    jax.block_until_ready(compiled(v, *tokens))
    memory = compiled.memory_analysis().temp_size_in_bytes / 2**20
    return lambda: seconds(lambda: jax.block_until_ready(compiled(v, *tokens))), memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args()
    about = machine()
    cases, memory = {"tanh alone": tanh_alone(options.length, options.size)}, {}
    for backward, direction in ((False, "forward"), (True, "forward and backward")):
        for engine in ENGINES:
            name = f"{engine}, {direction}"
            cases[name], memory[name] = attending(engine, options.length, options.size, backward=backward)
    table = summary(alternate(cases, options.rounds), baseline="tanh alone")
    for name, mib in memory.items():
        passes = 3 if "backward" in name else 1
        table[name] |= {
            "memory_mib": round(mib, 2),
            "ratio_to_bound": round(table[name]["ratio"] / passes, 3),
        }
        print(f"{name}: {mib:.2f} MiB, {table[name]['ratio_to_bound']:.2f} of its bound")
    note = "ratio: to T·S·H tanh of the same round; the bound is 1 of them forward, 3 with the backward pass"
    report("catalogue-classic", table, about, note)


if __name__ == "__main__":
    main()
