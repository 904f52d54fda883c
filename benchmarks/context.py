"""What a second device is worth to causal attention: the ring over two CPU devices beside one device.

    python benchmarks/context.py [--length 16384] [--rounds 5]

float32, batch 1, 2 heads of 64, forward and forward with all gradients. A device of XLA's CPU backend spreads
its products over all cores by itself: here each has one thread, one device in a process held to one core,
two devices in another held to two. They take turns, round by round. A ratio is that of the seconds to one
device's: two perfect devices have 0.5 in zigzag order, and 0.75 in contiguous order, in which the second
device has three times as many pairs as the first. The seconds of all threads ("work") are kept beside them:
what both devices do together, which other processes on the machine disturb less.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from _measure import alternate, machine, report, summary

HEADS, SIZE = 2, 64
ORDERS = {"one device": None, "two, contiguous": "contiguous", "two, zigzag": "zigzag"}


def worker(name: str, direction: str, length: int) -> None:
    """Computes a call for each line that it reads, and prints its seconds and those of its threads."""
    order = ORDERS[name]
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: 1 if order is None else 2])
    import jax
    from _measure import seconds

    import attnjax as aj

    jax.config.update("jax_num_cpu_devices", 1 if order is None else 2)
    shape = (1, length, HEADS, SIZE)
    tokens = tuple(jax.random.normal(key, shape) for key in jax.random.split(jax.random.key(0), 3))
    attend: Callable[..., Any] = lambda *x: aj.attention(*x, mask=aj.causal())  # noqa: E731
    if order is not None:
        mesh = jax.make_mesh((2,), ("context",), axis_types=(jax.sharding.AxisType.Auto,))
        how: dict[str, Any] = {"mesh": mesh, "strategy": "ring", "order": order, "mask": aj.causal()}
        attend = lambda *x: aj.context_attention(*x, **how)  # noqa: E731
        spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "context"))
        tokens = jax.device_put(tokens, spread)
    loss = jax.value_and_grad(lambda *x: attend(*x).sum(), argnums=(0, 1, 2))
    run = jax.jit(attend if direction == "forward" else loss)
    jax.block_until_ready(run(*tokens))
    print("ready", flush=True)
    for _ in sys.stdin:
        before = time.process_time()
        passed = seconds(lambda: jax.block_until_ready(run(*tokens)))
        print(passed, time.process_time() - before, flush=True)


def asked(name: str, direction: str, length: int, work: list[float]) -> Callable[[], float]:
    """A case that asks a process of its own for the seconds of a call, and notes those of its threads."""
    command = [sys.executable, __file__, "--worker", name, direction, "--length", str(length)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"},
    )
    given, found = process.stdin, process.stdout
    if given is None or found is None or found.readline().strip() != "ready":
        raise RuntimeError(f"{name}: the process ended before it was ready")

    def case() -> float:
        print(file=given, flush=True)
        passed, worked = map(float, found.readline().split())
        work.append(worked)
        return passed

    return case


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--length", type=int, default=16384)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        name, direction = options.worker
        worker(name, direction, options.length)
        return
    about, table = machine(), dict[str, Any]()
    for direction in ("forward", "both"):
        work: dict[str, list[float]] = {name: [] for name in ORDERS}
        cases = {name: asked(name, direction, options.length, work[name]) for name in ORDERS}
        times = alternate(cases, options.rounds)
        rows = summary(times, "one device")
        table |= {f"{direction}: {name}": row for name, row in rows.items()}
        rows = summary(work, "one device")
        table |= {f"{direction}, work: {name}": row for name, row in rows.items()}
    note = f"T = {options.length}; ratio: seconds beside one device's, of that round"
    report("context", table, about, note)


if __name__ == "__main__":
    main()
