"""Peak memory of a corpus on the disk, by its number of lines: a new process for each size.

    python benchmarks/corpus_memory.py [--lines 1000000] [--ids 10000000]

Of `--lines` a process goes the whole way: it reads a file of so many (words by Zipf's law, 4 to 30 of them)
with filters for ratio and duplicates, learns byte pairs, writes the files of tokens, and takes batches
from all over them, by lengths. Of `--ids` it begins with ids that are drawn: the same but for the reading,
whose memory does not grow with the lines beyond the half million that tokenizers learn from.

The peak is that of the whole process, with Python and all pages of the files that it has mapped; the part
without those pages ("anonymous") is what a machine cannot do without.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _measure import RESULTS, machine

WORDS = 50_000
PIECE = 100_000
STEPS = 500
LIMIT_MIB = 2048
KEPT_FROM = 1_000_000
"""Lines or ids, from which on a result is kept."""


def lines(count: int) -> Iterator[bytes]:
    """Pieces of a file with source<TAB>target lines."""
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, size)) for size in rng.integers(2, 10, WORDS)]
    chances = 1 / np.arange(1, WORDS + 1)
    chances /= chances.sum()
    for start in range(0, count, PIECE):
        sizes = rng.integers(4, 31, min(PIECE, count - start))
        drawn = iter(rng.choice(WORDS, int(sizes.sum()), p=chances).tolist())
        texts = (" ".join(words[next(drawn)] for _ in range(size)) for size in sizes.tolist())
        yield "".join(f"{text}\t{text[::-1]}\n" for text in texts).encode()


def resident() -> tuple[int, int]:
    """Returns the resident memory of this process, and the anonymous part of it, in MiB."""
    found = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "RssAnon"):
            found[name] = int(value.split()[0]) >> 10
    return found["VmRSS"], found["RssAnon"]


class Watch:
    """The greatest memory from its beginning on."""

    def __init__(self) -> None:
        self.peak = self.anonymous = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while True:
            whole, anonymous = resident()
            self.peak, self.anonymous = max(self.peak, whole), max(self.anonymous, anonymous)
            time.sleep(0.05)


def measure(lines_file: Path) -> dict[str, Any]:
    """Runs in a process of its own: the whole way from text to batches."""
    from attnjax.data.text.config import TranslationData
    from attnjax.data.text.filter_config import FilterConfig
    from attnjax.data.text.on_disk import disk_corpus

    watch = Watch()
    filters = FilterConfig(max_ratio=2.0, duplicates="pairs")
    data = TranslationData(train=lines_file, tokenizer="bpe", vocab_size=8000, on_disk=True, filters=filters)
    began = time.monotonic()
    corpus = disk_corpus(data)
    built = time.monotonic() - began
    most = corpus.encoder.source_width, corpus.encoder.target_width
    return batches(corpus.store, most, watch, built)


def measure_ids(folder: Path, count: int) -> dict[str, Any]:
    """Runs in a process of its own: the same from ids that are drawn, without the reading of texts."""
    from attnjax.data.text.rows import Rows
    from attnjax.data.text.token_store import DiskStore, TokenWriter

    watch, rng = Watch(), np.random.default_rng(0)
    began = time.monotonic()
    writer = TokenWriter(folder, (8000, 8000))
    for start in range(0, count, PIECE):
        size = min(PIECE, count - start)
        sides = []
        for marks in (0, 2):
            lengths = rng.integers(4, 45, size).astype(np.int32) + marks
            sides.append(Rows(rng.integers(4, 8000, int(lengths.sum()), np.int32), lengths))
        writer.add(sides[0], sides[1], np.zeros(size, np.int16), rng.bytes(8 * size))
    writer.close(distinct=True)
    return batches(DiskStore(folder), (48, 48), watch, time.monotonic() - began)


def batches(store: Any, most: tuple[int, int], watch: Watch, built: float) -> dict[str, Any]:
    """Takes batches from all over the first epochs."""
    from attnjax.data.text.buckets import BucketedBatches

    building = watch.peak
    found = BucketedBatches(store, seed=0, count=8, batch_size=64, batch_tokens=8192, most=most)
    began = time.monotonic()
    for step in np.linspace(0, 100_000, STEPS).astype(int).tolist():
        found[step]
    each = (time.monotonic() - began) / STEPS
    lengths = store.source_lengths, store.target_lengths
    return {
        "pairs": len(store.corpora),
        "tokens": int(sum(own.sum(dtype=np.int64) for own in lengths)),
        "seconds_to_build": round(built, 1),
        "milliseconds_of_a_batch": round(1000 * each, 2),
        "peak_mib_of_building": building,
        "peak_mib": watch.peak,
        "peak_anonymous_mib": watch.anonymous,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--lines", type=int, nargs="*", default=[1_000_000])
    parser.add_argument("--ids", type=int, nargs="*", default=[10_000_000])
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure-ids", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return 0
    if options.measure_ids:
        print(json.dumps(measure_ids(Path(options.measure_ids[0]), int(options.measure_ids[1]))))
        return 0
    rows = []
    for kind, count in [("lines", n) for n in options.lines] + [("ids", n) for n in options.ids]:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "corpus.tsv"
            asked = ["--measure-ids", folder, str(count)]
            if kind == "lines":
                with file.open("wb") as written:
                    written.writelines(lines(count))
                asked = ["--measure", str(file)]
            command = ["env", f"XDG_CACHE_HOME={folder}", sys.executable, __file__, *asked]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows.append({"from": kind, "count": count, **json.loads(done.stdout.splitlines()[-1])})
        print(json.dumps(rows[-1]), flush=True)
    if max(row["count"] for row in rows) >= KEPT_FROM:
        content = {"benchmark": "corpus-memory", "cases": rows, "machine": machine()}
        file = RESULTS / "corpus-memory.json"
        file.write_text(json.dumps(content, indent=2) + "\n")
        print(f"kept in {file}")
    return int(max(row["peak_mib"] for row in rows) > LIMIT_MIB)


if __name__ == "__main__":
    sys.exit(main())
