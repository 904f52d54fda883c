"""Peak memory of a language model's text on the disk, by its size, and how long steps wait for batches.

    python benchmarks/text_memory.py [--gb 10] [--steps 400] [--tokenizer-of 2000]

A text file of so many GB is written (words by Zipf's law). A process opens it and takes 2000 batches from all
over the first epoch; another one is `attnjax run language_model` on it, small, whose training counts how long
it stands and waits for its batches, without the first chunk of steps, which nothing can be ahead of.

Peaks are of whole processes, with Python, jax and all pages of files that they have mapped; "anonymous" is
the part that a machine cannot do without. With a tokenizer of so many pieces, learned from the text that is
held out, the opening makes the tokens too, which are kept on the disk.
"""

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _measure import RESULTS, machine
from corpus_memory import Watch

WORDS = 50_000
BLOCK_WORDS = 2_000_000
HELD_OUT_BYTES = 1_000_000
BATCHES = 2000
LIMIT_MIB = 1024
WAIT_LIMIT_PERCENT = 2.0
KEPT_FROM_GB = 1.0
"""GB, from which on a result is kept."""


def written(file: Path, size: int) -> None:
    """Writes a text of so many bytes: pages of drawn words again and again, each from another place on."""
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(rng.choice(letters, size)) for size in rng.integers(2, 10, WORDS)])
    chances = 1 / np.arange(1, WORDS + 1)
    drawn = words[rng.choice(WORDS, BLOCK_WORDS, p=chances / chances.sum())]
    ends = np.where(rng.random(BLOCK_WORDS) < 0.1, ".\n", " ")
    block = "".join(f"{word}{end}" for word, end in zip(drawn, ends, strict=True)).encode()
    with file.open("wb") as opened:
        left = size
        while left > 0:
            place = int(rng.integers(len(block)))
            left -= opened.write((block[place:] + block[:place])[:left])


def data_of(folder: Path) -> dict[str, Any]:
    """Returns the changes of the experiment's data for the files in a folder."""
    parts = {part: (folder / f"{part}.txt",) for part in ("train", "validation", "test")}
    found: dict[str, Any] = {f"data.{part}": files for part, files in parts.items()}
    if (folder / "tokenizer.json").is_file():
        found["data.tokenizer"] = folder / "tokenizer.json"
    return found


def opened(folder: Path, steps: int) -> dict[str, Any]:
    """Runs in a process of its own: opens the text, and takes batches from all over its first epoch."""
    watch = Watch()
    from attnjax.experiment import registry
    from attnjax.experiment.changes import with_changes

    importlib.import_module("attnjax.tasks.language.task")  # Ahead of the clock.

    registry.discover()
    config = with_changes(registry.default_config(registry.find("language_model")), data_of(folder))
    began = time.monotonic()
    task = config.task()
    task.batch(0)
    ready, peak = time.monotonic() - began, watch.peak
    rows = task._packed.rows // config.train.batch_size
    began = time.monotonic()
    for step in np.linspace(0, rows - 1, BATCHES).astype(int).tolist():
        task.batch(step)
    each = (time.monotonic() - began) / BATCHES
    return {
        "seconds_to_open": round(ready, 2),
        "peak_mib_of_opening": peak,
        "milliseconds_of_a_batch": round(1000 * each, 2),
        "peak_mib_with_batches": watch.peak,
        "peak_anonymous_mib": watch.anonymous,
    }


def trained(folder: Path, steps: int) -> dict[str, Any]:
    """Runs in a process of its own: trains on the text, and counts the time that steps wait for batches."""
    watch = Watch()
    from host_wait import timed, waits

    from attnjax import runs
    from attnjax.train import loop

    loop.prefetched = timed  # type: ignore[assignment]
    changes = {**data_of(folder), "train.steps": steps, "train.checkpoint_every": steps, "explained": 0}
    run = runs.run("language_model", changes, folder=folder / "runs")
    seconds = json.loads((run.folder / "result.json").read_text())["training_seconds"]
    return {
        "steps": steps,
        "training_seconds": round(seconds, 1),
        "waited_percent": round(100 * sum(waits[1:]) / seconds, 3),
        "peak_mib_of_run": watch.peak,
        "peak_anonymous_mib_of_run": watch.anonymous,
    }


def learned(folder: Path, pieces: int) -> None:
    """Writes a tokenizer of so many pieces, learned from the held-out text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=pieces, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train([str(folder / "validation.txt")], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))


def measured(gb: float, steps: int, pieces: int) -> dict[str, Any]:
    """Returns what both processes found for a text of so many GB."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        written(folder / "train.txt", int(gb * 1e9))
        for part in ("validation", "test"):
            written(folder / f"{part}.txt", HELD_OUT_BYTES)
        if pieces:
            learned(folder, pieces)
        row: dict[str, Any] = {"gb": gb, "pieces": pieces}
        for kind in ("opened", "trained"):
            command = [sys.executable, __file__, "--measure", kind, place, "--steps", str(steps)]
            environment = ["env", f"XDG_CACHE_HOME={folder / 'cache'}"]
            done = subprocess.run([*environment, *command], stdout=subprocess.PIPE, text=True, check=True)
            row |= json.loads(done.stdout.splitlines()[-1])
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--gb", type=float, nargs="*", default=[10.0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--tokenizer-of", type=int, default=0, metavar="PIECES")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        kind, folder = options.measure
        print(json.dumps({"opened": opened, "trained": trained}[kind](Path(folder), options.steps)))
        return 0
    rows: list[dict[str, Any]] = []
    file = RESULTS / ("text-memory-tokens.json" if options.tokenizer_of else "text-memory.json")
    for gb in options.gb:
        rows.append(measured(gb, options.steps, options.tokenizer_of))
        print(json.dumps(rows[-1]), flush=True)
        if gb >= KEPT_FROM_GB:
            content = {"benchmark": "text-memory", "cases": rows, "machine": machine()}
            file.write_text(json.dumps(content, indent=2) + "\n")
            print(f"kept in {file}")
    peak = max(max(row["peak_mib_with_batches"], row["peak_mib_of_run"]) for row in rows)
    return int(peak > LIMIT_MIB or max(row["waited_percent"] for row in rows) > WAIT_LIMIT_PERCENT)


if __name__ == "__main__":
    sys.exit(main())
