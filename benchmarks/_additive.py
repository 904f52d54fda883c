"""What an additive comparison costs beside its arithmetic and beside the plain form.

float32, one head, T = S. The bound is T·S·H times a + tanh(x + i), the arithmetic of the scores alone, at the
throughput of this machine in the same round. A backward pass has to compute each tanh twice more: for the
weights, and for the derivatives once the weights are known. `memory_mib` is what XLA's program holds besides
its arguments and results.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from _measure import alternate, seconds, summary

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


def beside_arithmetic(rounds: int, length: int, size: int) -> dict[str, dict[str, Any]]:
    """All cases with their memory, and their ratio to the bound."""
    cases, memory = {"tanh alone": tanh_alone(length, size)}, {}
    for backward, direction in ((False, "forward"), (True, "forward and backward")):
        for engine in ENGINES:
            name = f"{engine}, {direction}"
            cases[name], memory[name] = attending(engine, length, size, backward=backward)
    table = summary(alternate(cases, rounds), baseline="tanh alone")
    for name, mib in memory.items():
        bound = round(table[name]["ratio"] / (3 if "backward" in name else 1), 3)
        table[name] |= {"memory_mib": round(mib, 2), "ratio_to_bound": bound}
        print(f"{name}: {mib:.2f} MiB, {bound:.2f} of its bound")
    return table
