"""How long the date translator's training waits for its batches.

    python benchmarks/host_wait.py [--steps 400]

Batches are made by a thread, one chunk of steps ahead. Counted is the time that the loop stands in `next`,
without the first chunk, which nothing can be ahead of. About half a minute.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attnjax import runs
from attnjax.train import loop

waits: list[float] = []
prefetched = loop.prefetched


@contextmanager
def timed(load: Any, spans: Any) -> Iterator[Iterator[Any]]:
    with prefetched(load, spans) as batches:

        def each() -> Iterator[Any]:
            for _ in spans:
                began = time.perf_counter()
                batch = next(batches)
                waits.append(time.perf_counter() - began)
                yield batch

        yield each()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=400)
    options = parser.parse_args()
    loop.prefetched = timed  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        runs.run("translation", {"train.steps": options.steps}, folder=folder)
        (result,) = Path(folder).glob("*/result.json")
        seconds = json.loads(result.read_text())["training_seconds"]
    share = 100 * sum(waits[1:]) / seconds
    print(f"{len(waits)} chunks: {waits[0]:.3f} s for the first batches, then {sum(waits[1:]):.4f} s")
    print(f"of {seconds:.1f} s of training: {share:.2f} %")


if __name__ == "__main__":
    main()
